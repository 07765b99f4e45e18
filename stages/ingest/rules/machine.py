"""What machines wrote in the person's turn: text → the share of it that is logs, traces, diffs, code or data.

Lines are judged by form. A strong line is a machine's by itself; a weak one (indented, closing a block, full of
marks) only beside another machine's line. The person's own sentences are neither, so the share tells who dominates.
"""

import re
from typing import Final

SHORTEST: Final = 24
"""A shorter text is too little to tell a machine's line from a person's."""

_LEVEL: Final = r"(?:ERROR|WARN(?:ING)?|INFO|DEBUG|TRACE|FATAL|CRITICAL|NOTICE|error|warn(?:ing)?|info|debug|fatal)"
_STRONG: Final = (
    # Logs: a level in its place, or a time as only programs write it.
    r"\[?(?:ERROR|WARN(?:ING)?|INFO|DEBUG|TRACE|FATAL|CRITICAL)\]?(?::? +\[|\s*[|]|\] |: |  )",
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d",
    r"\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]? +\[?[A-Z]",
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d ",
    r"\S{1,60} +\| .*(?:\d{2}|error|warn)",
    r"\d{1,3}(?:\.\d{1,3}){3} - \S+ \[",
    r"(?:npm|yarn|pnpm) (?:ERR!|WARN|error|notice)",
    rf"(?:\S{{1,80}}:\d{{1,6}}(?::\d{{1,6}})?: )(?:fatal )?{_LEVEL}\b",
    rf"(?:\[?\w{{1,20}}\]? )?{_LEVEL}(?:\[\w{{1,10}}\]|\(\w{{1,20}}\)|\s?\[[\w.-]{{1,30}}\]):? ",
    r"(?:FAILED|PASSED|ERROR) \S{1,200}::\S",
    r"={3}[^\n]*={3}$|-{5,}$|[+|](?:-{3,}[+|])+$",
    r"=* ?\d{1,6} (?:failed|passed)(?:, \d{1,6} \w{1,12}){0,4}(?: in [\d.]{1,10}s)?",
    r"\s{0,8}(?:Compiling|Finished|Downloading|Collecting|Requirement already satisfied:?|Running hooks|remote:) \S+.*"
    r"[\d:)]",
    r"(?:fatal|panic|Caused by|caused by|Segmentation fault|Unhandled \w{1,40}|Uncaught \w{1,40})(?:: |$)",
    # Traces.
    r"Traceback \(most recent call last\)",
    r"\s*File \"[^\"\n]{1,400}\", line \d",
    r"\s+at .{0,400}:\d{1,7}\)?$|\s*at [\w.$<>/]{1,200} ?\(",
    r"(?:[\w.]{1,100}\.)?[A-Z]\w{0,60}(?:Error|Exception|Warning)(?:: |$|\[)",
    r"goroutine \d|thread '[^'\n]{0,60}' panicked|error\[E\d|\s*--> \S{1,200}:\d|\s{0,8}\d{0,6} \| ",
    # Diffs.
    r"diff --git |@@ -\d|index [0-9a-f]{7,40}\.\.|(?:---|\+\+\+) [ab]?/",
    # Data.
    r"\s*[\"'][\w $.@/-]{1,80}[\"']: ?(?:[\"'\[{\d-]|true|false|null|None|True)",
    r"\s*[{\[]\s*[\"'{\[][^\n]*[}\]],?$|\s*[{\[]\"[^\n]*\":",
    r"[^\t\n]*\t[^\t\n]*\t|\|[^|\n]*\|[^|\n]*\|",
    r"[0-9a-f]{6,16}:?(?:\s+[0-9a-f]{2,4}){6}|[dl-](?:[r-][w-][xsS-]){3}[.+@]?\s|total \d+$",
    r"\s*</?[a-zA-Z][\w:-]{0,40}(?:\s[^<>\n]*)?/?>.*(?:>|$)",
    r"[A-Z][A-Z0-9_]{3,60}=\S",
    # SQL, as written by tools and by those who write it like them.
    r"\s*(?:SELECT\s.*(?:\sFROM\b|,|\*)|INSERT INTO |UPDATE \S+ SET |DELETE FROM )",
    r"\s*(?:CREATE|ALTER|DROP) (?:OR REPLACE |UNIQUE )?"
    r"(?:TABLE|INDEX|VIEW|FUNCTION|POLICY|TYPE|SCHEMA|EXTENSION|TRIGGER)\b",
    # Code.
    r"\s*(?:async )?(?:def \w+\(|class \w+(?:\([\w., =]*\))?:$|class \w+.*\{$|function\b[^\n]*\()",
    r"\s*(?:(?:export|public|private|protected|static|pub) )+"
    r"(?:default |async |final |const |class |function |fn |interface |type |void |int |let )",
    r"\s*(?:import [\w.]+(?: as \w+)?;?$|import [\w{*][^\n]* from ['\"]|from \.*[\w.]+ import \S)",
    r"\s*(?:(?:const|let|var) [\w{\[][^\n]*? = |#include [<\"]|package [\w.]+;|using [\w.]+;|#!/)",
    r"\s*(?:fn \w+[(<]|func (?:\([^)\n]*\) )?\w+\(|@\w+(?:\.\w+)*\(.*\)$|return [^\n]*;|[)}\]]+[;,)]+$)",
    r"\s*(?:(?:\} )?else(?: if ?\([^\n]*\))? \{|(?:if|for|while|switch|catch) ?\([^\n]*\) ?\{)",
    r"\s*[\w.]{2,80}\([^()\n]*\)[;,]?$",
    r"(?:\$|>>>|PS [A-Z]:|[\w-]+@[\w.-]+:\S*[$#]|➜) ?\S",
)
# One alternation of anchored forms; the loops in it are bounded or meet each character once.
STRONG: Final = re.compile("|".join(_STRONG))
_WEAK: Final = (
    r"\s{2,}\S|\t|[^\w\n]*$|[^\n]*[;{}\[\]()\\=]$",
    r"[+-](?! )|[+-] .*[;{}()=:,]$",
    r"[\w.\[\]'\"-]{1,80} ?[:+-]?= ?\S|(?=\S+$)\S*[\d/_.]",
    r"\S{1,60} +[|] |//|/\*|\*/|\w+(?:::|->)|#\s|\^+|~+",
    r"(?:FROM|WHERE|JOIN|LEFT|INNER|ORDER|GROUP|LIMIT|VALUES|AND|SET|ON)\s",
)
WEAK: Final = re.compile("|".join(_WEAK))
# Unbroken runs as no word is: base64 and hexadecimal. Entered at their start only, so a run is read once.
RUN: Final = 64
BLOB: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{64,}={0,2}")
FENCE: Final = ("```", "~~~")


def machine_share(content: str) -> float:
    """Return the share of a text's characters, 0 to 1, in a machine's lines; blank lines do not count."""
    if len(content) < SHORTEST:
        return 0.0
    if "\n" not in content:
        return 1.0 if STRONG.match(content) else _blobs(content) / len(content)
    lines = [line.rstrip() for line in content.split("\n") if line and not line.isspace()]
    kinds = _kinds(lines)
    found = sum(len(line) if machine else _blobs(line) for line, machine in zip(lines, kinds, strict=True))
    return found / sum(map(len, lines))


def _blobs(line: str) -> int:
    # Words are counted first: the expression takes five times as long, on every line.
    if len(line) < RUN or max(map(len, line.split()), default=0) < RUN:
        return 0
    return sum(len(run) for run in BLOB.findall(line) if _random(run))


def _random(run: str) -> bool:
    """Say whether a run has digits as bytes in text have them; paths and names joined by dashes have fewer marks."""
    digits = sum(map(str.isdigit, run))
    marks = sum(map(run.count, "/_-"))
    return digits * 12 >= len(run) and marks * 10 <= len(run) and len(set(run)) > 8


def _kinds(lines: list[str]) -> list[bool]:
    """Return for each line whether it is a machine's."""
    strong, inside = [], False
    for line in lines:
        fence = line.lstrip().startswith(FENCE)
        strong.append(fence or inside or STRONG.match(line) is not None)
        inside ^= fence
    if not any(strong):
        return strong
    weak = [not known and WEAK.match(line) is not None for line, known in zip(lines, strong, strict=True)]
    for order in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):
        for at in order:
            before = at - 1 if order.step > 0 else at + 1
            strong[at] = strong[at] or (weak[at] and strong[before])
    return strong
