"""`twin chat`: talk to the twin in the terminal, with the prompt it learned under and what lies behind each reply."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.cli.options import ADAPTER, AdapterFolder, BaseFolder, EmbedderFolder, GraphPlace, SettingsFile

if TYPE_CHECKING:
    from twin.live import Behind
    from twin.live.engine import SpeakerEngine
    from twin.live.twin import LiveTwin
    from twin.prompt import Message, Prompt

MOST_SAMPLES = 32
HELP = """\
/base    answer with the base instead of the twin, and back
/facts   what the graph knew about your last message
/graph   whether the graph answers, and how large it is
/new     start a new conversation
/prompt  show the exact prompt of the last reply, with its tag
/tag     the trajectory tag of the last reply
/why     why the last reply is auto, draft or abstain, and its numbers
/quit    leave (also Ctrl-D)"""
NOTHING = "Nothing has been answered yet."


def chat(
    *,
    adapter: AdapterFolder = ADAPTER,
    base: BaseFolder = None,
    embedder: EmbedderFolder = None,
    graph: GraphPlace = None,
    settings: SettingsFile = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 256,
    samples: Annotated[
        int,
        typer.Option(min=1, max=MOST_SAMPLES, help="Replies to draw; the most personal is said. 1 decodes greedily."),
    ] = 1,
) -> None:
    """Talk to the twin; /why tells what lies behind a reply, /prompt shows the exact prompt with its tag."""
    twin = Chat.load(adapter, base, embedder, graph=graph, settings=settings, max_tokens=max_tokens)
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
            typer.echo(f"\n{twin.behind_line()}")


@dataclass
class Chat:
    """A conversation with a live twin, in its messages; everything about the prompt comes from the adapter's recipe."""

    twin: "LiveTwin"
    engine: "SpeakerEngine"
    max_tokens: int
    title: str = ""
    temperature: float = 0.0
    messages: "list[Message]" = field(default_factory=list)
    shown: "Prompt | None" = None
    behind: "Behind | None" = None

    @classmethod
    def load(
        cls,
        adapter: Path,
        base: str | None,
        embedder: str | None,
        *,
        graph: str | None = None,
        settings: Path | None = None,
        max_tokens: int = 256,
    ) -> "Chat":
        """Load base, adapter, recipe, graph and calibration.

        Raises:
            ModelError: a file is missing or does not belong to the others.
        """
        from twin.live.load import assemble, graph_at, load_engine
        from twin.live.settings import Settings

        recipe, engine = load_engine(adapter, base)
        twin = assemble(recipe, engine, embedder=embedder, graph=graph_at(graph), settings=Settings.load(settings))
        return cls(twin, engine, max_tokens, engine.title)

    @property
    def voice(self) -> str:
        """Who answers: the twin or the base."""
        return "twin" if self.engine.tuned else "base"

    def choose_among(self, samples: int, folder: Path) -> None:
        """Draw so many replies from now on and say the most personal, by the re-ranker in `folder`.

        Raises:
            ModelError: the evaluation fitted none.
        """
        from twin.errors import ModelError
        from twin.files import read_json
        from twin.live.choosing import TEMPERATURE, Choosing
        from twin.reranker import RERANKER, Reranker

        if not (folder / RERANKER).exists():
            raise ModelError(
                f"{folder} holds no {RERANKER}: the evaluation fits one where the twin draws several replies. Run "
                "`dvc exp run -S +experiment=sampled`, or chat with --samples 1."
            )
        self.twin.engine = Choosing(self.engine, Reranker.from_json(read_json(folder / RERANKER)), samples)
        self.temperature = TEMPERATURE

    def answer(self, text: str) -> Iterator[str]:
        """Answer the partner's `text`, piece by piece; the best of several comes whole."""
        from threading import Event

        from twin.live import Behind, Options

        self.messages.append({"role": "user", "content": text})
        # The turn's number is the chance: the same conversation goes the same way again.
        options = Options(self.max_tokens, self.temperature, seed=len(self.messages), conversation="chat")
        pieces = []
        for piece in self.twin.answer(self.messages, options, Event()):
            if isinstance(piece, Behind):
                self.behind = piece
            else:
                pieces.append(piece)
                yield piece
        self.shown = self.twin.last.prompt if self.twin.last else None
        self._answered("".join(pieces))

    def _answered(self, reply: str) -> None:
        # An empty reply is no turn: the next message joins the one that it left unanswered.
        if reply.strip():
            self.messages.append({"role": "assistant", "content": reply})

    def behind_line(self) -> str:
        """Return what lies behind the last reply, in one short line."""
        if self.behind is None:
            return ""
        one = self.behind
        sure = "" if one.confidence is None else f" {one.confidence:.2f}"
        graph = f"{len(one.facts)} facts" if one.graph == "ok" else f"graph {one.graph.partition(':')[0]}"
        return (
            f"        {one.action.value}{sure} · {graph} · {one.first_token_s:.2f} s · {one.tokens_per_s:.0f} tokens/s"
        )

    def command(self, line: str) -> str:
        """Carry out a slash command and return what to print."""
        told = {
            "/base": self._switch,
            "/facts": self._facts,
            "/graph": self.twin.graph_size,
            "/help": lambda: HELP,
            "/new": self._begin,
            "/prompt": self._prompt,
            "/tag": lambda: NOTHING if self.behind is None else self.behind.tag or "The recipe wants no tag.",
            "/why": self._why,
        }.get(line)
        return told() if told else f"{line} is not a command.\n{HELP}"

    def _switch(self) -> str:
        self.engine.switch()
        return f"The {self.voice} answers now."

    def _prompt(self) -> str:
        if self.shown is None:
            return NOTHING
        from twin.tokens import prompt_text

        return prompt_text(self.shown.messages, self.engine.tokenizer)

    def _facts(self) -> str:
        if self.behind is None:
            return NOTHING
        if self.behind.facts:
            return "\n".join(self.behind.facts)
        return "None of its names has facts." if self.behind.graph == "ok" else f"graph {self.behind.graph}"

    def _why(self) -> str:
        if self.behind is None:
            return NOTHING
        one = self.behind
        lines = [f"{one.action.value}: {one.reason}", f"run {one.run_id[:12] or 'none, the base'}, graph {one.graph}"]
        lines += [f"{one.prompt_tokens} tokens of prompt, {one.cached_tokens} of them kept from before"]
        lines += [f"{one.reply_tokens} tokens of reply, ended by {one.finish}"]
        return "\n".join(lines)

    def _begin(self) -> str:
        self.messages, self.shown, self.behind = [], None, None
        return "A new conversation."
