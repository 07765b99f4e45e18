"""`twin chat`: talk to the twin in the terminal, with the prompt it learned under."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.errors import ModelError
from twin.files import read_json

if TYPE_CHECKING:
    from twin.conversation import Role, Turn
    from twin.model import Adapter, Base
    from twin.prompt import Dialogue, Embed, Prompt, PromptRecipe
    from twin.reply import Speaker
    from twin.reranker import Reranker

TEMPERATURE = 0.7
"""Of the replies drawn to choose among, as conf/experiment/sampled.yaml evaluates them."""
MOST_SAMPLES = 32
HELP = """\
/base    answer with the base instead of the twin, and back
/prompt  show the exact prompt of the last reply, with its tag
/new     start a new conversation
/quit    leave (also Ctrl-D)"""


def chat(
    adapter: Annotated[Path, typer.Option(help="Adapter folder with its recipe.json.")] = Path("models/adapter"),
    base: Annotated[
        str | None, typer.Option(help="Folder of the base model, for a base that lies outside the repository.")
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Folder of the embedder's model, if the adapter learned with one from a folder.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 256,
    samples: Annotated[
        int,
        typer.Option(min=1, max=MOST_SAMPLES, help="Replies to draw; the most personal is said. 1 decodes greedily."),
    ] = 1,
) -> None:
    """Talk to the twin; /base toggles the adapter, /prompt shows the exact prompt with its tag."""
    twin = Chat.load(adapter, base, embedder, max_tokens)
    if samples > 1:
        twin.choose_among(samples, Path("data/evaluate"))
    typer.echo(f"{twin.title}\nYou are the partner; the twin answers. /help lists the commands.\n")
    while True:
        try:
            line = input("you   > ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        if line == "/quit":
            return
        if line.startswith("/"):
            typer.echo(twin.command(line))
        elif line:
            typer.echo(f"{twin.voice:5} > ", nl=False)
            for piece in twin.answer(line):
                typer.echo(piece, nl=False)
            typer.echo()


@dataclass
class Chat:
    """A conversation with a loaded twin; everything about the prompt comes from the adapter's recipe."""

    recipe: "PromptRecipe"
    embed: "Embed"
    model: "Base"
    layers: "Adapter"
    speaker: "Speaker"
    max_tokens: int
    title: str = ""
    voice: str = "twin"
    turns: int = 0
    shown: "Prompt | None" = None
    samples: int = 1
    reranker: "Reranker | None" = None
    dialogue: "Dialogue" = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    @classmethod
    def load(cls, adapter: Path, base_folder: str | None, embedder_folder: str | None, max_tokens: int) -> "Chat":
        """Load base, adapter and recipe.

        Raises:
            ModelError: a file is missing or does not belong to the others.
        """
        if not (adapter / "recipe.json").exists():
            raise ModelError(
                f"{adapter} holds no adapter. Train one with `dvc repro`, or name its folder: --adapter PATH."
            )
        from twin.base import resolve
        from twin.embedder import restore
        from twin.model import attach, load_base
        from twin.prompt import PromptRecipe
        from twin.reply import Speaker

        stored = read_json(adapter / "recipe.json")
        recipe = PromptRecipe.from_json(stored["prompt"])
        model = load_base(resolve(stored["base"], base_folder))
        layers = attach(model, adapter)
        room = model.context_tokens // 2 if model.context_tokens else max_tokens
        title = f"{stored['base']['id']} with the adapter of run {stored['run']['id'][:12]}"
        embed = restore(recipe.embedder, embedder_folder).embed
        return cls(recipe, embed, model, layers, Speaker(model), min(max_tokens, room), title)

    def choose_among(self, samples: int, folder: Path) -> None:
        """Draw so many replies from now on and say the most personal, by the re-ranker in `folder`.

        Raises:
            ModelError: the evaluation fitted none.
        """
        from twin.reranker import RERANKER, Reranker

        if not (folder / RERANKER).exists():
            raise ModelError(
                f"{folder} holds no {RERANKER}: the evaluation fits one where the twin draws several replies. Run "
                "`dvc exp run -S +experiment=sampled`, or chat with --samples 1."
            )
        self.samples, self.reranker = samples, Reranker.from_json(read_json(folder / RERANKER))

    def answer(self, text: str) -> Iterator[str]:
        """Answer the partner's `text`, piece by piece; the best of several comes whole."""
        from twin.tokens import prompt_tokens

        self.dialogue.add(self._turn("partner", text))
        self.shown = self.dialogue.prompt()
        tokens = prompt_tokens(self.shown.messages, self.model.tokenizer)
        pieces = []
        for piece in self._best(tokens) if self.reranker else self.speaker.stream(tokens, self.max_tokens):
            pieces.append(piece)
            yield piece
        self.dialogue.add(self._turn("person", "".join(pieces)))

    def _best(self, tokens: list[int]) -> Iterator[str]:
        from twin.sampling import Drawn

        assert self.reranker is not None
        # The turn's number is the chance: the same conversation goes the same way again.
        draw = Drawn(TEMPERATURE, [self.turns * MOST_SAMPLES + sample for sample in range(self.samples)])
        drawn = dict(self.speaker.replies([tokens] * self.samples, self.max_tokens, draw))
        texts = [drawn[sample].text for sample in range(self.samples)]
        yield texts[self.reranker.best(texts)]

    def command(self, line: str) -> str:
        """Carry out a slash command and return what to print."""
        if line == "/base":
            return self._toggle()
        if line == "/prompt":
            return self._prompt()
        if line == "/new":
            self._begin()
            return "A new conversation."
        return HELP if line == "/help" else f"{line} is not a command.\n{HELP}"

    def _toggle(self) -> str:
        twin = self.voice == "twin"
        (self.layers.off if twin else self.layers.on)()
        self.speaker.forget()
        self.voice = "base" if twin else "twin"
        return f"The {self.voice} answers now."

    def _prompt(self) -> str:
        if self.shown is None:
            return "Nothing has been answered yet."
        from twin.tokens import prompt_text

        return prompt_text(self.shown.messages, self.model.tokenizer)

    def _turn(self, role: "Role", text: str) -> "Turn":
        from twin.conversation import Turn

        self.turns += 1
        return Turn(f"live-{self.turns}", role, text, datetime.now(UTC))

    def _begin(self) -> None:
        from twin.prompt import Dialogue

        self.dialogue = Dialogue(self.recipe, self.embed)
