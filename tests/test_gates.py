"""What may be sent unseen: every gate makes an action stricter, a lower confidence never permits more, and the clock
that limits automatic replies is given."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import ConfigError
from twin.live import Action
from twin.live.gates import MOST_CONVERSATIONS, Gates, Judged, refuses
from twin.live.settings import Settings

GATES = Settings.load().gates
STRICTNESS = [Action.auto, Action.draft, Action.abstain]
SURE = Judged("Is the build green?", "yes it is green", "stop", 0.99, distance=0.1, novel_from=0.5)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def decided(**changes: Any) -> tuple[Action, str]:
    return Gates(GATES, Clock()).decide(Judged(**(vars(SURE) | changes)), "c")


def test_a_sure_reply_to_an_ordinary_question_may_be_sent() -> None:
    assert decided() == (Action.auto, "confidence 0.99")


@pytest.mark.parametrize(
    ("changes", "action", "why"),
    [
        ({"confidence": 0.5}, Action.draft, "confidence 0.50 is below 0.90"),
        ({"confidence": 0.05}, Action.abstain, "confidence 0.05 is below 0.10"),
        ({"confidence": None}, Action.draft, "there is no calibration"),
        ({"reply": "wrong. read the log"}, Action.draft, "the reply corrects or stops"),
        ({"reply": "Fine for now. Stop."}, Action.draft, "the reply corrects or stops"),
        ({"message": "No, that's not what I said."}, Action.draft, "the message corrects or stops"),
        ({"message": "stop"}, Action.draft, "the message corrects or stops"),
        ({"reply": "deploying it to prod"}, Action.draft, "cannot be taken back (deploying)"),
        ({"message": "Can you DELETE the table?"}, Action.draft, "the message speaks of what cannot be taken back"),
        ({"reply": "then rm -rf it"}, Action.draft, "(rm -rf)"),
        ({"reply": "i paid the invoice"}, Action.draft, "(paid)"),
        ({"reply": "  \n"}, Action.abstain, "the reply is empty"),
        ({"distance": 0.6}, Action.abstain, "far from all training prompts (0.60 > 0.50)"),
        ({"finish": "length"}, Action.draft, "cut at its limit"),
    ],
)
def test_each_gate_names_its_reason(changes: dict[str, Any], action: Action, why: str) -> None:
    found, reason = decided(**changes)
    assert found is action and why in reason


def test_a_word_inside_another_is_not_meant() -> None:
    assert decided(reply="the payload is fine, a dropdown too") == (Action.auto, "confidence 0.99")
    assert not refuses("no idea where it stands") and refuses("ok. no, not that one")


SEEN = st.fixed_dictionaries(
    {
        "reply": st.sampled_from(["yes", "", "stop", "deploy it"]),
        "message": st.sampled_from(["Shall I?", "no. undo that"]),
        "distance": st.floats(0, 1),
        "finish": st.sampled_from(["stop", "length"]),
    }
)


@given(st.floats(0, 1), st.floats(0, 1), SEEN)
def test_a_lower_confidence_never_permits_more(one: float, other: float, shared: dict[str, Any]) -> None:
    (low, high), reply, message = sorted((one, other)), shared["reply"], shared["message"]
    actions = [STRICTNESS.index(decided(confidence=sure, **shared)[0]) for sure in (low, high)]
    assert actions[0] >= actions[1]
    assert STRICTNESS.index(decided(confidence=None, **shared)[0]) >= 1, "no confidence never goes unseen"
    if reply == "stop" or message.startswith("no") or "deploy" in reply:
        assert actions[1] >= 1


def test_one_automatic_reply_a_conversation_in_ten_minutes() -> None:
    clock = Clock()
    gates = Gates(GATES, clock)
    assert gates.decide(SURE, "a")[0] is Action.auto
    assert gates.decide(SURE, "a") == (
        Action.draft,
        "this conversation was answered unseen; the next may go in 600 s",
    )
    assert gates.decide(SURE, "b")[0] is Action.auto
    clock.now_s += 599.9
    assert gates.decide(SURE, "a")[0] is Action.draft
    clock.now_s += 0.1
    assert gates.decide(SURE, "a")[0] is Action.auto, "a draft does not start the ten minutes anew"
    assert gates.decide(SURE, "a")[0] is Action.draft


def test_a_draft_is_no_automatic_reply_and_unnamed_conversations_are_one() -> None:
    gates = Gates(GATES, Clock())
    assert gates.decide(Judged(**(vars(SURE) | {"confidence": 0.5})), "a")[0] is Action.draft
    assert gates.decide(SURE, "a")[0] is Action.auto
    assert [gates.decide(SURE, name)[0] for name in (None, None, "")] == [Action.auto, Action.draft, Action.draft]


def test_a_clock_at_zero_and_many_conversations_are_no_way_around() -> None:
    clock = Clock()
    clock.now_s = 0.0
    gates = Gates(GATES, clock)
    assert [gates.decide(SURE, "a")[0] for _ in range(2)] == [Action.auto, Action.draft]
    for number in range(MOST_CONVERSATIONS - 1):
        gates.decide(SURE, str(number))
    assert gates.decide(SURE, "a")[0] is Action.draft


def test_settings_are_checked_and_changed_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("gates: {auto_from: 0.5, irreversible: [fax*]}\nfacts: {facts: 1}\n")
    mine = Settings.load(file)
    assert (mine.gates.auto_from, mine.gates.abstain_below, mine.facts.facts) == (0.5, GATES.abstain_below, 1)
    judged = Judged(**(vars(SURE) | {"reply": "deploy it and fax it"}))
    assert Gates(mine.gates, Clock()).decide(judged, "c")[1] == "the reply speaks of what cannot be taken back (fax)"
    wrong = [("gates: {auto_form: 1}", "auto_form is not a parameter of this section. Did you mean gates.auto_from"),
             ("gates: {auto_from: 2}", "auto_from is 2.0; it must be at most 1"),
             ("gates: {auto_from: 0.05}", "abstain_below is 0.1, above gates.auto_from 0.05"),
             ("voice: {}", "voice is not a section"), ("[1]", "list, not a mapping"), ("a: [", "not YAML"),
             ("gates: 3", "gates is not a section")]  # fmt: skip
    for text, message in wrong:
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            Settings.load(file)


def test_no_words_are_no_gate() -> None:
    bare = Settings.load().gates
    object.__setattr__(bare, "irreversible", [])
    assert Gates(bare, Clock()).decide(Judged(**(vars(SURE) | {"reply": "deploy it"})), "c")[0] is Action.auto
