"""Replacing an exact text in a file, pure: found whatever the line ends, everything else stays byte for byte; help where it fails.

Theory of operation: models write "\\n", files may have "\\r\\n", or both. Old text, new text and file are compared with "\\n"
alone; what was found is mapped back to the file's own characters, and the new text gets the line ends of what it replaces.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from attrs import frozen

from agentd.toolsources.files.text import shown
from agentwire.errors import ToolError

_NUMBERED = re.compile(r"\s*\d+\t")
_COMPARED = 500  # lines that are looked through for one like it
_HELPED = 4 * 1024 * 1024  # characters of a file that is searched for what may have been meant
_QUOTED = 4000  # characters
_WIDTH = 200  # characters of a line that are compared, and shown


@frozen
class Edited:
    """`text`: of the file, with its own line ends; `before` and `after` with "\\n" alone, for a diff."""

    text: str
    before: str
    after: str
    count: int


def edit(text: str, old: str, new: str, *, everywhere: bool) -> Edited:
    """Raises ToolError, with what would help, unless `old` is there, and only once if not `everywhere`."""
    plain, old, new = _unix(text), _unix(old), _unix(new)
    if not old:
        raise ToolError("old is empty: give the text to replace; to fill or replace a whole file use write")
    if old == new:
        raise ToolError("old and new are the same: nothing would change")
    starts = _found(plain, old)
    if not starts:
        raise ToolError(_missing(plain, old, new))
    if len(starts) > 1 and not everywhere:
        raise ToolError(_several(plain, starts))
    spans = [(start, start + len(old)) for start in starts]
    return Edited(_replaced(text, plain, spans, new), plain, plain.replace(old, new), len(starts))


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _found(text: str, old: str) -> list[int]:
    """Where `old` begins, without overlaps."""
    found, at = [], text.find(old)
    while at >= 0:
        found.append(at)
        at = text.find(old, at + len(old))
    return found


def _replaced(text: str, plain: str, spans: Sequence[tuple[int, int]], new: str) -> str:
    if len(text) == len(plain):
        return _joined(text, spans, [new] * len(spans))
    # A newline at `at` of the plain text has as many characters more before it as there are "\r\n" before it.
    ends = [match.start() - number for number, match in enumerate(re.finditer("\r\n", text))]
    mostly = 2 * len(ends) > plain.count("\n")
    own = [(start + bisect.bisect_left(ends, start), stop + bisect.bisect_left(ends, stop)) for start, stop in spans]
    pieces = [_with_ends_of(text[start:stop], new, mostly=mostly) for start, stop in own]
    return _joined(text, own, pieces)


def _with_ends_of(replaced: str, new: str, *, mostly: bool) -> str:
    crlf = "\r\n" in replaced or ("\n" not in replaced and mostly)
    return new.replace("\n", "\r\n") if crlf else new


def _joined(text: str, spans: Sequence[tuple[int, int]], pieces: Sequence[str]) -> str:
    parts, at = [], 0
    for (start, stop), piece in zip(spans, pieces, strict=True):
        parts += [text[at:start], piece]
        at = stop
    return "".join([*parts, text[at:]])


# --- help ----------------------------------------------------------------------------------------------------------------------


def _several(text: str, starts: Sequence[int]) -> str:
    lines = [str(text.count("\n", 0, start) + 1) for start in starts[:20]]
    more = f" and {len(starts) - 20} more" if len(starts) > 20 else ""
    return (
        f"old is there {len(starts)} times (lines {', '.join(lines)}{more}): give more of the lines around the one you mean, "
        "or all=true to replace every one"
    )


def _missing(text: str, old: str, new: str) -> str:
    said = ["old is not in the file"]
    if all(_NUMBERED.match(line) for line in old.split("\n") if line):
        said.append("leave out the line numbers that read shows, and the tab after them")
    elif len(text) > _HELPED:
        said.append("read again what is there, and copy it exactly")
    elif (line := _but_for_spaces(text, old)) is not None:
        said.append(f"only spaces, tabs or empty lines differ from what begins at line {line[0]}, which is exactly:\n{line[1]}")
    elif new and (at := text.find(new)) >= 0:
        said.append(f"new is there already, at line {text.count(chr(10), 0, at) + 1}: was the edit made before?")
    elif nearest := _nearest(text, old):
        said.append(f"the nearest lines are:\n{nearest}")
    else:
        said.append("nothing is like it: read the file again")
    return "; ".join(said)


def _but_for_spaces(text: str, old: str) -> tuple[int, str] | None:
    """Where the file has the same words in its lines: the first line's number, and the lines as they are there."""
    wanted = "\n".join(words for _, words in _worded(old))
    lines = _worded(text)
    there = "\n".join(words for _, words in lines)
    at = there.find(wanted) if wanted else -1
    if at < 0:
        return None
    first = there.count("\n", 0, at)
    begin, end = lines[first][0], lines[first + wanted.count("\n")][0]
    return begin + 1, shown("\n".join(text.split("\n")[begin : end + 1]))[:_QUOTED]


def _worded(text: str) -> list[tuple[int, str]]:
    """The lines that have words, with just one space between these."""
    lines = enumerate(text.split("\n"))
    return [(number, words) for number, line in lines if (words := " ".join(line.split()))]


def _nearest(text: str, old: str) -> str:
    """Lines of the file that are like the most telling of the first lines of `old`."""
    wanted = max(old.split("\n")[:5], key=lambda line: len(line.strip())).strip()[:_WIDTH]
    lines = text.split("\n")
    first: dict[str, int] = {}
    for number, line in enumerate(lines):
        first.setdefault(line.strip()[:_WIDTH], number)
    likely = sorted(filter(None, first), key=lambda line: abs(len(line) - len(wanted)))[:_COMPARED]
    import difflib  # only when something is wrong

    found = sorted(first[line] for line in difflib.get_close_matches(wanted, likely, n=3, cutoff=0.6))
    return shown("\n".join(f"{number + 1:6}\t{lines[number][:_WIDTH]}" for number in found))
