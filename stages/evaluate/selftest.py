"""Whether the rubric may judge at all: real, base and adversarial replies → what it makes of them, PASS or FAIL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.evaluate.adversaries import adversaries, pick
from stages.evaluate.replies import Reply, fixed
from stages.evaluate.rubric import Rubric, Score, mean_score
from stages.evaluate.twosample import auc
from twin.protocol import Prompt

REAL_MIN = 2.5
BASE_MAX = 0.7
AUC_MIN = 0.95
ADVERSARIAL_MAX = 1.0
RULES_MAX = 0.05
ADVERSARY = "adversary"


@dataclass(frozen=True)
class SelfTest:
    """Every check with its value and whether it holds."""

    values: dict[str, float]
    adversarial: dict[str, float]
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


def adversarial_scores(
    rubric: Rubric, own: Sequence[str], prompts: Sequence[Prompt], train: Sequence[Reply]
) -> dict[str, list[Score]]:
    """Score every adversarial set that this person's data can make."""
    sets = adversaries(own, prompts, rubric.usual.person, train)
    return {
        name: rubric.score_set(
            [fixed(prompt, f"{ADVERSARY}/{name}", text) for prompt, text in zip(prompts, texts, strict=True)]
        )
        for name, texts in sets.items()
        if texts
    }


def self_test(
    real: Sequence[Score],
    base: Sequence[Score],
    cal: Sequence[Score],
    adversarial: Mapping[str, Sequence[Score]],
    rescored_same: bool,
) -> SelfTest:
    """Hold the rubric against what is known: `real` and `base` are replies to the test prompts.

    `cal` are the person's too: their levels are fitted, the rules that fire on them are not.
    """
    worst = {name: mean_score(scores) for name, scores in adversarial.items()}
    values = {
        "real_mean": mean_score(real),
        "base_mean": mean_score(base),
        "auc": auc([one.log_odds for one in real], [one.log_odds for one in base]),
        "rules_on_real": sum(bool(one.caps) for one in [*real, *cal]) / (len(real) + len(cal)),
        "adversarial_max": max(worst.values()),
    }
    holds = {
        "real_mean": values["real_mean"] >= REAL_MIN,
        "base_mean": values["base_mean"] <= BASE_MAX,
        "auc": values["auc"] >= AUC_MIN,
        "rules_on_real": values["rules_on_real"] <= RULES_MAX,
        "adversarial_max": values["adversarial_max"] <= ADVERSARIAL_MAX,
        "rescored_same": rescored_same,
    }
    return SelfTest(values, worst, holds)
