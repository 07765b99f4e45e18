"""The walk: rows and rules, a world of experiments, a journal → what each row came to.

It is a replay: every call starts at the first row, and what is finished answers at once. So a campaign that was killed
goes on by being started again.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

from twin.campaign.journal import Journal, State
from twin.campaign.judging import Comparison, Findings, adjusted, against_all, comparison, pick
from twin.campaign.queue import Campaign, Row, Rung, Stop
from twin.campaign.world import Asked, Budget, Ended, Experiments, Tree

STALLED = "stalled"
OUTCOMES = {State.memory: "out of memory", State.diverged: "stopped", State.spent: "stopped"}


class _HaltError(Exception):
    """No further row is run; the message says why."""


@dataclass
class Walk:
    """One pass over the rows."""

    campaign: Campaign
    experiments: Experiments
    journal: Journal
    budget: Budget
    say: Callable[[str], None]
    extra: tuple[str, ...] = ()
    """Overrides of every row, from the command line."""
    retry: bool = False
    """Try again what ran out of memory."""
    _runs: dict[str, list[str]] = field(default_factory=dict)
    """Row → its finished experiments."""
    _same: dict[str, str] = field(default_factory=dict)
    """A row that picks → the row it took on."""
    _out: dict[str, str] = field(default_factory=dict)
    """Rows out of the race, with the reason."""
    _known: dict[tuple[str, str], tuple[Findings, str]] = field(default_factory=dict)
    """Paired tests of (reference row, compared row): a rule and a pick ask the same."""
    interrupted: bool = False
    """Whether Ctrl-C ended the walk."""

    def rows(self) -> list[Tree]:
        """Walk all rows and return what each came to."""
        done: list[Tree] = []
        halted = ""
        for number, row in enumerate(self.campaign.rows, 1):
            tree: Tree = {"name": row.name, "says": row.says, "runs": [], "comparisons": [], "why": ""}
            done.append(tree)
            if halted:
                tree |= {"outcome": "skipped", "why": halted}
                continue
            try:
                self._walk(row, tree, f"[{number}/{len(self.campaign.rows)}] {row.name}")
            except _HaltError as halt:
                halted = f"not begun: {halt}"
            except KeyboardInterrupt:
                self.interrupted, halted = True, "not begun: interrupted"
                tree |= {"outcome": "interrupted", "why": "interrupted; the same command goes on from here"}
                for run in tree["runs"]:
                    run.setdefault("outcome", State.interrupted.value)
                    run.setdefault("why", "")
        return done

    def _walk(self, row: Row, tree: Tree, title: str) -> None:
        if row.pick:
            self._pick(row, tree)
        elif row.compare is not None:
            self._compare(row, tree)
        else:
            self._train(row, tree, title)
        self.say(f"{title}: {tree['outcome']}{': ' if tree['why'] else ''}{tree['why']}")

    def _train(self, row: Row, tree: Tree, title: str) -> None:
        if row.continues is not None and self._source(row.continues) not in self._runs:
            self._out[row.name] = "never run"
            tree |= {"outcome": "skipped", "why": f"{row.continues} left nothing to continue"}
            return
        for rung in row.rungs:
            ended = self._rung(row, rung, tree, title)
            if ended.state is not State.memory:
                break
        if ended.state is State.finished:
            self._runs[row.name] = [run["experiment"] for run in tree["runs"] if run["outcome"] == "finished"]
            self._judge(row, tree)
            return
        self._out[row.name] = ended.state.value
        outcome = OUTCOMES.get(ended.state, ended.state.value)
        tree |= {"outcome": outcome, "why": ended.why}
        if ended.state is State.interrupted:
            self.say(f"{title}: {outcome}: {ended.why}")
            raise _HaltError(ended.why)
        if ended.state is State.failed and self.campaign.on_failure == "halt":
            self.say(f"{title}: failed: {ended.why}")
            raise _HaltError(f"{row.name} failed")

    def _rung(self, row: Row, rung: Rung, tree: Tree, title: str) -> Ended:
        """Run all seeds of one rung; the first that does not finish ends it."""
        for seed in row.seeds or (None,):
            asked = self._asked(row, rung, seed)
            run: Tree = {"experiment": asked.name, "rung": rung.name or None, "overrides": list(asked.overrides)}
            tree["runs"].append(run)
            ended = self._one(row, asked, title)
            run |= {"outcome": ended.state.value, "why": ended.why}
            run["seconds"] = round(self.journal.seconds(asked.name), 1)
            if ended.state is not State.finished:
                return ended
            measured = self.experiments.measured(asked.name)
            run |= {"run_id": measured.run_id, "parameters": measured.parameters, "status": measured.status}
            run |= measured.facts
        return ended

    def _asked(self, row: Row, rung: Rung, seed: int | None) -> Asked:
        overrides = [*self.campaign.set, *row.set, *self.extra]
        overrides += [f"train.learn_by={stop.update}" for stop in row.stop_if if stop.update is not None]
        if row.continues is not None:
            source = self._runs[self._source(row.continues)][0]
            overrides.append(f'campaign.winner="{self.experiments.measured(source).run_id}"')
            overrides += self.experiments.choices(source, row.keep, overrides)
        overrides += [*rung.set, *([] if seed is None else [f"train.seed={seed}"])]
        seeded = "" if seed is None else f"s{seed}"
        prefix = "-".join(part for part in (self.campaign.name, row.name, rung.name, seeded) if part)
        return self.experiments.ask(prefix, overrides)

    def _one(self, row: Row, asked: Asked, title: str) -> Ended:
        if self.experiments.is_finished(asked):
            self.journal.found(asked.name)
            return Ended(State.finished)
        known = self.journal.state(asked.name)
        if known in (State.memory, State.diverged, State.spent) and not self.retry:
            return Ended(known, self.journal.attempts[asked.name].why)
        left_s = self.budget.left_s(self.journal.total_s)
        if left_s is not None and left_s <= 0:
            return Ended(State.interrupted, "the budget is spent")
        mine_s = None if row.hours is None else row.hours * 3600 - self.journal.seconds(asked.name)
        first = mine_s is not None and (left_s is None or mine_s < left_s)
        self.say(f"{title}: running as {asked.name}, {self.journal.log(asked.name)}{self._eta()}")
        earlier = self.journal.attempts[asked.name].group if known is State.running else None
        ended = self.experiments.run(
            asked,
            self.journal.log(asked.name),
            mine_s if first else left_s,
            earlier,
            lambda group: self.journal.started(asked.name, group),
        )
        if first and ended.state is State.interrupted:
            ended = Ended(State.spent, f"its {row.hours:g} h are spent")
        if ended.state is State.finished and not self.experiments.is_finished(asked):
            ended = Ended(State.failed, f"{asked.name} ended well and is not what it was asked to be")
        self.journal.ended(asked.name, ended.state, ended.why)
        return ended

    def _eta(self) -> str:
        """Time left, where finished runs tell: their mean for each row that has none."""
        took = [one.seconds for one in self.journal.attempts.values() if one.state == State.finished.value]
        waiting = sum(
            max(1, len(row.seeds))
            for row in self.campaign.rows
            if row.runs and row.name not in {*self._runs, *self._out}
        )
        return f"; about {clock(waiting * sum(took) / len(took))} left for {waiting} runs" if took else ""

    def _judge(self, row: Row, tree: Tree) -> None:
        """Apply the stop rules of a row whose runs are there."""
        tree |= {"outcome": "finished"}
        for stop in row.stop_if:
            why = self._stopped(row, stop, tree)
            if why:
                tree |= {"outcome": "stopped", "why": why}
                self._out[row.name] = why
                return

    def _stopped(self, row: Row, stop: Stop, tree: Tree) -> str:
        if stop.rule == "not_learned_by":
            stalled = sum(run.get("status") == STALLED for run in tree["runs"])
            told = f" in {stalled} of {len(row.seeds)} runs" if row.seeds else ""
            return f"the validation loss had not fallen by update {stop.update}{told}" if stalled else ""
        assert stop.row is not None, f"{stop.rule} names a row: the reader checks it"
        other = self._source(stop.row)
        if other not in self._runs:
            tree["comparisons"].append({"against": stop.row, "verdict": "unknown", "words": f"{stop.row} has no run"})
            return ""
        said = self._compared(row.name, other, stop.by, tree)
        wanted = {"worse_than": "worse", "equivalent_to": "equivalent"}[stop.rule]
        if said.verdict != wanted:
            return ""
        return f"no measurable difference to {other}" if wanted == "equivalent" else f"worse than {other}"

    def _compared(self, name: str, other: str, by: Sequence[str], tree: Tree) -> Comparison:
        found, about = self._paired(other, name)
        said = comparison(name, other, found, by)
        tree["comparisons"].append(_told(said, about))
        return said

    def _paired(self, reference: str, compared: str) -> tuple[Findings, str]:
        if (reference, compared) not in self._known:
            sides = self._runs[reference], self._runs[compared]
            self._known[reference, compared] = self.experiments.compared(*sides)
        return self._known[reference, compared]

    def _pick(self, row: Row, tree: Tree) -> None:
        rows = list(dict.fromkeys(self._source(one) for one in row.pick))
        rows = [one for one in rows if one in self._runs and one not in self._out]
        if not rows:
            tree |= {"outcome": "none", "why": "no row is left to pick from"}
            return
        pairs, about = {}, ""
        for reference, compared in combinations(rows, 2):
            pairs[reference, compared], about = self._paired(reference, compared)
        order = list(rows)
        if row.undecided == "fewest_parameters":
            order.sort(key=lambda one: self.experiments.measured(self._runs[one][0]).parameters)
        found = pick(rows, pairs, row.by, order, row.undecided)
        tree["comparisons"] = [_told(one, about) for one in found.comparisons]
        self._same[row.name] = found.row
        outcome = "winner" if found.shown else "inconclusive"
        tree |= {"outcome": outcome, "why": found.words, "row": found.row, "experiments": self._runs[found.row]}

    def _compare(self, row: Row, tree: Tree) -> None:
        assert row.compare is not None
        mine = self._source(row.compare)
        others = [self._source(one) for one in row.against]
        missing = [one for one in (mine, *others) if one not in self._runs]
        if missing:
            tree |= {"outcome": "unknown", "why": f"{', '.join(missing)} has no run"}
            return
        pairs, about = {}, ""
        for other in others:
            found, about = self._paired(other, mine)
            pairs[other, mine] = {name: one for name, one in found.items() if name in row.by}
        told = adjusted(pairs)
        said = [comparison(mine, other, told[other, mine], row.by) for other in others]
        tree["comparisons"] = [_told(one, about) for one in said]
        verdict = against_all(said)
        words = {"equivalent": "no measurable difference", "inconclusive": "not shown either way"}
        why = words.get(
            verdict, f"{verdict} than {' and '.join(one.reference for one in said if one.verdict == verdict)}"
        )
        tree |= {"outcome": verdict, "why": f"{mine}: {why}"}

    def _source(self, name: str) -> str:
        """Return the row that `name` stands for."""
        return self._same.get(name, name)


def _told(said: Comparison, about: str) -> Tree:
    values = asdict(said)
    return {"compared": said.compared, "against": values.pop("reference"), "verdict": said.verdict} | {
        "words": said.words,
        "about": about,
    }


def clock(seconds: float) -> str:
    """Return a duration such as `1:05`, or `2:01:05` from an hour on."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
