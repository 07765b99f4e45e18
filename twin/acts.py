"""Dialogue acts by surface form: text → one of ACTS. For reports only: nothing is trained or dropped by them.

English wording and punctuation decide. Of other languages only questions are known, by their mark.
"""

import re
from typing import Final

ACTS: Final = (
    "greeting",
    "thanks",
    "approval",
    "refusal",
    "acknowledgement",
    "correction",
    "question",
    "command",
    "statement",
)
"""What a turn does; the first that fits, so a greeting that asks is a question and a refusal that explains corrects."""

LOOKED_AT: Final = 240  # characters of the start; what a turn does is said early, and the cost stays flat
_END: Final = r"(?:[\s,.!…)👍🙏]|please|pls|then|now|again|so much|a lot|very much|man|all|there|everyone)*"
_WHOLE: Final = {
    "greeting": r"(?:hi|hey|hello|hiya|yo|good )?(?:morning|afternoon|evening|night)|hi|hey|hello|hiya|yo|howdy|bye"
    r"|goodbye|see you|see ya|cheers then",
    "thanks": r"(?:ok(?:ay)?,? |great,? |perfect,? |many )?(?:thanks|thank you|thx|ty|cheers|much appreciated|tysm)",
    "approval": r"(?:ok(?:ay)?,? |yes,? |yep,? |yeah,? )?(?:go|go ahead|go on|go for it|do it|do that|proceed|continue"
    r"|keep going|next|ship it|lgtm|approved|sounds good|looks good|perfect|great|nice|good|exactly|agreed|works for me"
    r"|love it|that works|good idea)|yes|yep|yeah|yup|sure|affirmative|of course|absolutely|👍+|✅+",
    "refusal": r"no|nope|nah|no way|never|don't|dont|do not|stop|stop it|cancel|abort|not now|negative|no thanks|👎+"
    r"|(?:no[ ,.!]*)+",
    "acknowledgement": r"ok(?:ay)?|k|kk|got it|i see|right|understood|roger|roger that|copy|copy that|noted|hm+|ah|oh"
    r"|makes sense|fair|fair enough|alright|all right|fine|cool|(?:ok(?:ay)?|roger)[ ,.]+(?:roger|understood|stand by)",
}
WHOLE: Final = tuple((act, re.compile(f"(?:{words}){_END}")) for act, words in _WHOLE.items())
# A bare "no" or "stop" corrects when it stands apart or another word of correction follows: "no idea" says nothing.
CORRECTION: Final = re.compile(
    r"(?:(?:no|nope|nah|stop|wrong|negative)(?:[,.:;!-]|\s+(?:no|not|i|the|that|its|it's|just|dont|don't)\b)"
    r"|(?:not quite|not that|not the|not what|that's not|thats not|that is not|that's wrong|thats wrong|still wrong"
    r"|still not|again:|i said|i meant|i asked|you missed|you forgot|you keep|undo|revert|actually|instead|too much"
    r"|this is about|read it again|who told you|drop the)(?:\b|(?<=:))[\s,.:;!-])"
)
ASKS: Final = re.compile(
    r"(?:what|whats|what's|why|how|hows|how's|who|whos|who's|when|where|which|is|are|was|were|do|does|did|can|could"
    r"|would|will|should|shall|has|have|had)\b(?! it\b)"
)
# Leads that say little about what follows them.
LEAD: Final = re.compile(
    r"(?:(?:ok(?:ay)?|yes|yep|yeah|right|fine|good|great|nice|cool|alright|so|and|but|hm+|well|now|wait|first|then|hi|hey"
    r"|hello|please|pls|just|roger|same plan|makes sense)\b[\s,.:;!-]+)+"
)
COMMAND: Final = re.compile(
    r"(?:let's|lets|don't|dont|do not|make sure|please|add|apply|archive|ask|break|build|bring|call|change|check|clean"
    r"|close|commit|compare|continue|convert|copy|create|cut|debug|delete|deploy|do|document|drop|enable|explain|extract"
    r"|find|fix|follow|forget|generate|get|give|go|have|help|implement|improve|install|keep|leave|list|load|look|make"
    r"|merge|migrate|move|open|park|pin|ping|put|push|read|rebase|refactor|remove|rename|replace|restart|retry|rewrite"
    r"|roll|rotate|run|save|say|scale|search|send|set|ship|show|skip|solve|spell|split|squash|start|stop|summari[sz]e"
    r"|switch|tag|take|tell|test|translate|try|turn|undo|update|upgrade|use|verify|wait|walk|watch|wire|write)\b"
)
QUESTION_MARKS: Final = ("?", "？", "؟", ";?", "⁇", "?!")


def act(content: str) -> str:
    """Return what a turn does, by its form."""
    text = content[:LOOKED_AT].lower().replace("’", "'")
    if len(text) <= 60:
        for name, pattern in WHOLE:
            if pattern.fullmatch(text):
                return name
    if CORRECTION.match(text):
        return "correction"
    lead = LEAD.match(text)
    rest = text[lead.end() :] if lead else text
    if rest and lead and CORRECTION.match(rest):
        return "correction"
    if content.endswith(QUESTION_MARKS) or "?" in text[:80] or (ASKS.match(rest) and len(rest) > 12):
        return "question"
    return "command" if COMMAND.match(rest) else "statement"
