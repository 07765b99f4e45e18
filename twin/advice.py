"""What the note would advise: a run's metrics, past runs → advice by topic, each with the figures behind it.

Source of the figures: the research note's rank table, learning rates and weight decay, and its contrarian section:
where several configurations come out alike, more and cleaner replies are what helps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from twin.config.rules import WEIGHT_DECAY_MAX
from twin.plan.advice import EFFECTIVE_BATCH, KNOWN_RANK, KNOWN_RANKS, KNOWN_TOKENS, matched_rank
from twin.trials import Score, Trial

Tree = Mapping[str, Any]
DECAY = (0.01, 0.05)
RISE = 0.02
"""Nats per token by which the validation loss must rise again to be called overfitting: the noise of a subset of 64."""
FEW_TOKENS = 0.5
"""Share of the note's tokens below which its own table says little."""
DROPPED_MAX = 0.25
"""Share of an export that may be lost before the export itself is looked at."""


@dataclass(frozen=True)
class Advice:
    """What to do about one thing."""

    topic: str
    advice: str
    because: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What the advice is drawn from."""

    params: Tree
    """params.yaml, by section."""
    ingest: Tree
    split: Tree
    train: Tree
    evaluate: Tree
    decision: Tree
    curve: Sequence[tuple[int, float]]
    """(update, validation loss on the fixed subset)."""
    trials: Sequence[Trial]
    campaigns: Tree
    """metrics/campaign.json's, by name."""


def advise(facts: Facts) -> list[Advice]:
    """Return the advice, the question of data or configuration first."""
    return [data_or_configuration(facts), rank(facts), learning_rate(facts), decay(facts), length(facts), batch(facts)]


def data_or_configuration(facts: Facts) -> Advice:
    """Say whether the data are the problem, which no configuration mends."""
    data, configuration = list(_against_the_data(facts)), list(_against_the_configuration(facts))
    if facts.decision.get("decision") == "PROMOTE":
        return Advice("the problem", "None: the decision is PROMOTE.", tuple(data + configuration))
    if data and configuration:
        words = "Both: mend the configuration first, it is cheaper; then bring more, or cleaner, replies."
    elif data:
        words = "The data, not the configuration: bring more, or cleaner, replies before any sweep."
    elif configuration:
        words = "The configuration: the training has not got out of these data what is in them."
    else:
        words = "Not known: neither data nor configuration stand out. Try ranks and seeds, and read `twin sweep`."
    alike = _alike(facts.trials)
    return Advice("the problem", words, tuple(data + configuration + ([alike[1]] if alike and not alike[0] else [])))


def _against_the_data(facts: Facts) -> Iterator[str]:
    tokens = facts.train["supervised_tokens"]["train"]
    if tokens < FEW_TOKENS * KNOWN_TOKENS:
        yield f"{tokens:,} supervised tokens; the note's figures are for about {KNOWN_TOKENS:,} (metrics/train.json)"
    weak = [name for name, enough in facts.split.get("strength", {}).items() if not enough]
    if weak:
        yield f"too few replies in {', '.join(weak)} for the gates at full strength (metrics/split.json)"
    rows = facts.ingest["rows"]
    if rows["in"] and (lost := 1 - rows["out"] / rows["in"]) > DROPPED_MAX:
        yield f"{lost:.0%} of the export's rows were dropped (metrics/ingest.json tells why)"
    alike = _alike(facts.trials)
    if alike and alike[0]:
        yield alike[1]
    for name, campaign in sorted(facts.campaigns.items()):
        undecided = [row["why"] for row in campaign["rows"] if "row" in row and row["outcome"] == "inconclusive"]
        if undecided:
            yield f"the campaign {name}, by paired tests: {undecided[0]} (metrics/campaign.md)"
    for gate in ("memorisation", "rare_copy"):
        if facts.decision.get("gates", {}).get(gate, {}).get("state") == "FAIL":
            yield f"the gate {gate} fails: the twin repeats what it saw (metrics/decision.json)"


def _against_the_configuration(facts: Facts) -> Iterator[str]:
    if facts.train["status"] in ("stalled", "diverged"):
        yield f"the training {facts.train['status']} (metrics/train.json)"
    if skipped := facts.train["updates"]["skipped"]:
        yield f"{skipped} updates were not finite (metrics/train.json)"
    if _falling(facts):
        before, last = facts.curve[-2:]
        yield f"the validation loss still fell at the end: {before[1]:.3f} → {last[1]:.3f} (metrics/train.csv)"
    if rise := _rise(facts):
        yield f"the validation loss rose again by {rise:.3f} nats after its best (metrics/train.csv)"


def _alike(trials: Sequence[Trial]) -> tuple[bool, str] | None:
    """Say whether runs of several configurations cannot be told apart by their bounds; None where there are no two."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if "rubric" in trial.scores:
            groups.setdefault(trial.judged, []).append(trial)
    judged = max(groups.values(), key=len, default=[])
    recipes = {_recipe(trial): trial for trial in judged}
    if len(recipes) < 2:
        return None
    ordered = sorted(recipes.values(), key=lambda one: one.scores["rubric"].value)
    worst, best = ordered[0], ordered[-1]
    low, high = worst.scores["rubric"], best.scores["rubric"]
    same = low.upper >= high.lower
    words = "within each other's bounds" if same else "outside each other's bounds"
    return same, (
        f"{len(recipes)} configurations score {_bounded(low)} ({worst.name}) to {_bounded(high)} ({best.name}) on the "
        f"rubric, {words}; `twin compare {worst.name} {best.name}` pairs them"
    )


def _recipe(trial: Trial) -> tuple[object, ...]:
    keys = (
        "adapter.kind",
        "adapter.rank",
        "adapter.layers",
        "optimizer.learning_rate",
        "train.updates",
        "align.method",
    )
    return tuple(trial.params.get(key) for key in keys)


def _bounded(score: Score) -> str:
    return f"{score.value:.2f} ({score.lower:.2f} to {score.upper:.2f})"


def rank(facts: Facts) -> Advice:
    """Say which rank the data bear, and which past runs did best."""
    tokens, now = facts.train["supervised_tokens"]["train"], facts.params["adapter"]["rank"]
    matched = matched_rank(tokens)
    per_token = facts.train["adapter"]["parameters"] / max(tokens, 1)
    because = [
        f"for about {KNOWN_TOKENS:,} supervised tokens: {KNOWN_RANKS}",
        f"{tokens:,} tokens here; rank {now} trains {per_token:.1f} parameters a token",
    ]
    told = _best_by(facts.trials, "adapter.rank")
    because += [told] if told else []
    if matched == KNOWN_RANK:
        return Advice("rank", f"{KNOWN_RANK}, the note's first choice.", tuple(because))
    advice = f"Try {matched} beside {KNOWN_RANK}: it gives these data as many parameters a token."
    if matched <= 8:
        advice += " At 8 and below with DoRA only."
    return Advice("rank", advice, tuple(because))


def learning_rate(facts: Facts) -> Advice:
    """Say whether the rate lies in the base's range, and whether the curve asks for another."""
    rate, model = facts.params["optimizer"]["learning_rate"], facts.params["model"]
    low, high = model["learning_rate_min"], model["learning_rate_max"]
    because = [f"{rate:g} now; {low:g} to {high:g} is safe for {model['id']} (conf/model/)"]
    told = _best_by(facts.trials, "optimizer.learning_rate")
    because += [told] if told else []
    half, double = max(low, rate / 2), min(high, rate * 2)
    if not low <= rate <= high:
        return Advice("learning rate", f"Back into the range: {(low * high) ** 0.5:.0e} is its middle.", tuple(because))
    if facts.train["status"] == "diverged" or facts.train["updates"]["skipped"]:
        return Advice("learning rate", f"Lower: {half:g}.", (*because, "updates were not finite, or training diverged"))
    if facts.train["status"] == "stalled":
        return Advice("learning rate", f"Higher: {double:g}.", (*because, "training stalled"))
    return Advice("learning rate", "Keep it: nothing in the curve asks for another.", tuple(because))


def decay(facts: Facts) -> Advice:
    """Say what weight decay the curve asks for."""
    now, rise = facts.params["optimizer"]["weight_decay"], _rise(facts)
    because = (
        f"{now:g} now; {DECAY[0]:g} to {DECAY[1]:g} is advised, above {WEIGHT_DECAY_MAX:g} it erases what is learned",
    )
    if now > WEIGHT_DECAY_MAX:
        return Advice("weight decay", f"Lower: {DECAY[1]:g}.", because)
    if rise and now < DECAY[1]:
        return Advice("weight decay", f"Higher: {DECAY[1]:g}.", (*because, f"the validation loss rose by {rise:.3f}"))
    return Advice("weight decay", "Keep it.", because)


def length(facts: Facts) -> Advice:
    """Say whether the training was too short or too long."""
    updates, epochs = facts.train["updates"], facts.train["epochs"]
    loss = facts.train["valid"]["masked_nats_per_token"]
    because = (
        f"{updates['run']} updates, {epochs:.2f} epochs; the best was update {updates['best']} (metrics/train.json)",
        f"validation loss {loss['initial']:.3f} → {loss['best']:.3f}, {loss['last']:.3f} at the end",
    )
    if _falling(facts):
        return Advice("updates", f"More: {2 * updates['run']}; the loss still fell.", because)
    if _rise(facts):
        return Advice(
            "updates", f"About {updates['best']}: the loss rose after it. The best adapter was kept.", because
        )
    return Advice("updates", "Enough: the loss no longer falls.", because)


def batch(facts: Facts) -> Advice:
    """Say what the effective batch is."""
    train = facts.params["train"]
    effective = train["batch"] * train["accumulate"]
    words = "Keep it." if effective == 8 else "8, as batch × accumulate."
    return Advice("effective batch", words, (f"{effective} now; {EFFECTIVE_BATCH}",))


def _falling(facts: Facts) -> bool:
    """Whether the last validation was the best by more than counts as an improvement."""
    if len(facts.curve) < 2:
        return False
    before, last = min(loss for _, loss in facts.curve[:-1]), facts.curve[-1][1]
    return before - last > float(facts.params["train"]["min_delta"])


def _rise(facts: Facts) -> float:
    """Return by how much the validation loss ended above its best, 0 where that is noise."""
    if not facts.curve:
        return 0.0
    rise = facts.curve[-1][1] - min(loss for _, loss in facts.curve)
    return rise if rise > RISE else 0.0


def _best_by(trials: Sequence[Trial], key: str) -> str:
    """Say how past runs that differ in `key` alone scored; nothing where there are none."""
    from twin.sweep import series

    able = [one for one in trials if "rubric" in one.scores and isinstance(one.params.get(key), int | float)]
    found = series(able, key, "rubric") if able else []
    if not found or len(found[0].points) < 2:
        return ""
    points = sorted(found[0].points, key=lambda point: point.mean)
    told = ", ".join(f"{point.x:g}: {point.mean:.2f} ({point.lower:.2f} to {point.upper:.2f})" for point in points)
    apart = any(one.upper < other.lower for one, other in pairwise(points))
    return f"past runs on the rubric, {told}; {'their bounds part' if apart else 'not told apart by their bounds'}"
