"""Whether the rubric may judge at all: real, base and adversarial replies → what it makes of them, PASS or FAIL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stages.evaluate.adversaries import adversaries, pick
from stages.evaluate.patterns import Patterns, read_patterns
from stages.evaluate.person import Person
from stages.evaluate.replies import Reply, fixed
from stages.evaluate.rubric import Rubric, Score, mean_score
from stages.evaluate.rules import RULES, TOP, Usual, fired
from stages.evaluate.twosample import auc
from twin.protocol import Prompt

REAL_MIN = 2.5
BASE_MAX = 0.7
AUC_MIN = 0.95
ADVERSARIAL_MAX = 1.0
RULES_MAX = 0.05
OWN_MIN = 2.5
SETS_MIN = 20
BEYOND = frozenset({"short_salad", "own_words"})
"""Sets that are measured and bind nobody: of four words the rules know little, other gates have to see it."""
ADVERSARY = "adversary"
TEXTS_MIN = 5
"""A set of which fewer are left says nothing."""
FAILED = 1
"""The cap of what must not pass."""


@dataclass(frozen=True)
class SelfTest:
    """Every check with its value and whether it holds."""

    values: dict[str, float]
    adversarial: dict[str, float]
    left_out: dict[str, int]
    """Texts of each set that are nothing wrong for this person, those with any."""
    holds: dict[str, bool]

    @property
    def state(self) -> str:
        """PASS if all hold."""
        return "PASS" if all(self.holds.values()) else "FAIL"


def own_answers(rubric: Rubric, real: Sequence[Reply], prompts: Sequence[Prompt]) -> list[str]:
    """Return the person's best-scored replies that are on topic for the ten prompts, of at least two words."""
    scores = [one for one in rubric.scores(real) if len(one.reply.words) > 1]
    ordered = sorted(scores, key=lambda one: (-one.score, -one.log_odds, one.reply.prompt_id))
    return pick([one.reply for one in ordered], prompts)


def own_scores(rubric: Rubric, own: Sequence[str], prompts: Sequence[Prompt]) -> list[Score]:
    """Score the person's answers to the ten prompts: what the adversarial sets are made of must pass itself."""
    asked = asked_of(own, prompts)
    return rubric.score_set([fixed(prompt, "own", text) for prompt, text in zip(asked, own, strict=True)])


def asked_of(own: Sequence[str], prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts; one that the person's answer is off topic for admits any, lest that alone fail each set."""
    answered = [fixed(prompt, "", text).on_topic for prompt, text in zip(prompts, own, strict=True)]
    return [prompt if fits else replace(prompt, anchors=()) for prompt, fits in zip(prompts, answered, strict=True)]


def adversarial_scores(
    rubric: Rubric, own: Sequence[str], prompts: Sequence[Prompt], train: Sequence[Reply]
) -> dict[str, list[Score]]:
    """Score the adversarial sets, without the texts that are nothing wrong for this person.

    These are texts that a change leaves as the person's own, and those whose only fault the person has too, so that
    the rule against it was dropped.
    """
    strict = Usual(_unspared(rubric), Patterns(read_patterns(), ()))
    asked = asked_of(own, prompts)

    def wrong(one: Score, answer: str) -> bool:
        fault = min(fired(one.reply, strict, RULES).values(), default=TOP)
        return one.reply.text != answer and not (fault <= FAILED < one.cap)

    sets = adversaries(own, prompts, rubric.usual.person, train)
    scored = {name: _scored(rubric, name, texts, asked) for name, texts in sets.items()}
    answers = {prompt.id: answer for prompt, answer in zip(prompts, own, strict=True)}
    return {
        name: [one for one in scores if wrong(one, answers[one.reply.prompt_id])] for name, scores in scored.items()
    }


def _unspared(rubric: Rubric) -> Person:
    person = rubric.usual.person
    return replace(person, limits=replace(person.limits, capital_words=0.0))


def _scored(rubric: Rubric, name: str, texts: Sequence[str], asked: Sequence[Prompt]) -> list[Score]:
    if not texts:
        return []
    replies = [fixed(prompt, f"{ADVERSARY}/{name}", text) for prompt, text in zip(asked, texts, strict=True)]
    return rubric.score_set(replies)


def self_test(
    real: Sequence[Score],
    base: Sequence[Score],
    cal: Sequence[Score],
    own: Sequence[Score],
    adversarial: Mapping[str, Sequence[Score]],
    *,
    rescored_same: bool,
) -> SelfTest:
    """Hold the rubric against what is known: `real` and `base` are replies to the test prompts.

    `cal` are the person's too: their levels are fitted, the rules that fire on them are not. `own` are the answers that
    the adversarial sets are made of.
    """
    worst = {name: mean_score(scores) for name, scores in adversarial.items() if len(scores) >= TEXTS_MIN}
    left_out = {name: len(own) - len(scores) for name, scores in adversarial.items() if len(scores) < len(own)}
    values = {
        "real_mean": mean_score(real),
        "base_mean": mean_score(base),
        "auc": auc([one.log_odds for one in real], [one.log_odds for one in base]),
        "rules_on_real": sum(bool(one.caps) for one in [*real, *cal]) / (len(real) + len(cal)),
        "own_answers": mean_score(own),
        "adversarial_max": max(mean for name, mean in worst.items() if name not in BEYOND),
    }
    holds = {
        "real_mean": values["real_mean"] >= REAL_MIN,
        "base_mean": values["base_mean"] <= BASE_MAX,
        "auc": values["auc"] >= AUC_MIN,
        "rules_on_real": values["rules_on_real"] <= RULES_MAX,
        "own_answers": values["own_answers"] >= OWN_MIN,
        "adversarial_max": values["adversarial_max"] <= ADVERSARIAL_MAX,
        "adversarial_sets": len(worst) >= SETS_MIN,
        "rescored_same": rescored_same,
    }
    return SelfTest(values, worst, left_out, holds)
