"""What has changed, as a unified diff of bounded size. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

_AROUND = 3  # lines of context
_COMPARED = 400  # lines of either side: difflib takes time in their product
_WIDTH = 500  # characters of a line


@frozen
class Diff:
    """`added`, `removed`: lines."""

    added: int
    removed: int
    text: str

    @property
    def summary(self) -> str:
        return f"+{self.added} -{self.removed} line{'s' * (self.added + self.removed != 1)}"


def diff(old: str, new: str, *, bound: int) -> Diff:
    """Of at most `bound` lines. Where more than a few hundred lines differ they count as replaced altogether."""
    before, after = _lines(old), _lines(new)
    first = _common(before, after)
    last = _common(before[first:][::-1], after[first:][::-1])
    changes = list(_changes(before[first : len(before) - last], after[first : len(after) - last], first))
    added = sum(stop - start for _, (start, stop) in changes)
    removed = sum(stop - start for (start, stop), _ in changes)
    lines = [line for hunk in _hunks(changes) for line in _written(hunk, before, after)]
    rest = [f"({len(lines) - bound} more lines of the diff)"] if len(lines) > bound else []
    if not changes and old != new:
        rest = ["(only the newline at the end of the file)"]
    return Diff(added, removed, "\n".join([*(line[:_WIDTH] for line in lines[:bound]), *rest]))


Change = tuple[tuple[int, int], tuple[int, int]]
"""Lines of the old text and those in their place, each as (start, stop)."""


def _lines(text: str) -> list[str]:
    return text.split("\n")[: None if not text.endswith("\n") else -1] if text else []


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (mine, its) in pairs if mine != its), min(len(one), len(other)))


def _changes(before: Sequence[str], after: Sequence[str], offset: int) -> Iterator[Change]:
    if len(before) > _COMPARED or len(after) > _COMPARED:
        yield (offset, offset + len(before)), (offset, offset + len(after))
        return
    import difflib  # half a megabyte, until something is edited

    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield (offset + a1, offset + a2), (offset + b1, offset + b2)


def _hunks(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes whose context would touch stand together."""
    hunk: list[Change] = []
    for change in changes:
        if hunk and change[0][0] - hunk[-1][0][1] > 2 * _AROUND:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _written(hunk: Sequence[Change], before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    lead = min(_AROUND, hunk[0][0][0])
    start, begin = hunk[0][0][0] - lead, hunk[0][1][0] - lead
    stop = min(len(before), hunk[-1][0][1] + _AROUND)
    end = hunk[-1][1][1] + stop - hunk[-1][0][1]
    yield f"@@ -{start + 1},{stop - start} +{begin + 1},{end - begin} @@"
    at = start
    for (old_start, old_stop), (new_start, new_stop) in hunk:
        yield from (f" {line}" for line in before[at:old_start])
        yield from (f"-{line}" for line in before[old_start:old_stop])
        yield from (f"+{line}" for line in after[new_start:new_stop])
        at = old_stop
    yield from (f" {line}" for line in before[at:stop])
