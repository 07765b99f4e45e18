"""What a graph might know about a topic, made up anew for each lesson: a turn → facts, and the words that use them.

Owners, teams, builds and pages are drawn, so that nothing can be learned by heart: who is asked for an owner has to
read the facts. Words and order are those of a prompt with facts (`twin.prompt`).
"""

from dataclasses import dataclass

from tools.demo_export.dice import Dice
from tools.demo_export.partner import Turn
from tools.demo_export.topics import TOPICS
from tools.demo_export.voice import PEOPLE
from twin.context import NOTE, worded
from twin.graph import Edge
from twin.graph.names import hyphenated

OWNERS = (
    *PEOPLE, "jonas", "mira", "tomas", "aiko", "omar", "ravi", "harper", "nina", "sven", "yuki", "paula", "emre",
    "ivan", "zoe", "chen", "olga", "felix", "amara", "diego", "hana",
)  # fmt: skip
TEAMS = tuple(dict.fromkeys(topic.domain for topic in TOPICS))
STATES = ("waiting for review", "blocked", "on hold", "done", "late", "in progress")


@dataclass(frozen=True)
class Known:
    """Facts in words, and what they put into the slots of a reply."""

    facts: tuple[str, ...] = ()
    who: str = ""
    """Owns the topic; empty if that is not known."""
    part: str = ""
    """Of the topic, other than the turn's; empty if none is known."""
    asked: Edge | None = None
    """Whose object the turn asks for, in place of what it would have said: it tells the owner."""

    @property
    def slots(self) -> dict[str, str]:
        """The slots of the operator's words that the facts fill."""
        return {slot: said for slot, said in (("who", self.who), ("other", self.part)) if said}

    @property
    def words(self) -> tuple[str, ...]:
        """What an answer may say from the facts; only the owner, if that was asked for."""
        return (self.who,) if self.asked else tuple(self.slots.values())


NOTHING = Known()


def known_of(dice: Dice, turn: Turn, reminders: float) -> Known:
    """Return one to five facts about the topic of a turn, its team and one of its parts.

    Args:
        dice: draws them.
        turn: what is answered, unless the owner is asked for.
        reminders: the probability of that, where the facts have one.
    """
    name, who = turn.topic.name, dice.pick(OWNERS)
    part = dice.pick([part for part in turn.topic.parts if part != turn.part])
    team = f"{dice.pick(TEAMS)} team"
    drawn = dice.shuffled(
        [
            (name, "owned_by", who),
            (name, "has_part", part),
            (name, "belongs_to", team),
            (name, "last_changed_in", f"build {dice.integer(1000, 9999)}"),
            (name, "status", dice.pick(STATES)),
            (part, "documented_in", f"page {dice.integer(2, 99)}"),
            (team, "meets_in", f"room {dice.integer(1, 40)}"),
        ]
    )[: dice.integer(1, NOTE.facts)]
    edges = [Edge(hyphenated(subject), predicate, hyphenated(object_), 1.0) for subject, predicate, object_ in drawn]
    facts = tuple(worded(edge, NOTE.fact_characters) for edge in edges)
    owners = [edge for edge in edges if edge.predicate == "owned_by"]
    asked = dice.pick(owners) if reminders and owners and dice.chance(reminders) else None
    told = {predicate: object_ for subject, predicate, object_ in drawn if subject == name}
    return Known(facts, told.get("owned_by", ""), told.get("has_part", ""), asked)
