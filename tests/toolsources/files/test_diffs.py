"""Diffs: what was and what is, bounded; applied to the one they give the other."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agentd.toolsources.files.diffs import diff

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d"]), max_size=40)


def applied(old: list[str], text: str) -> list[str]:
    """What `patch` would make of it."""
    new: list[str] = []
    at = 0
    for line in text.split("\n") if text else []:
        if head := re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@", line):
            start = int(head[1]) - 1
            new += old[at:start]
            at = start
            assert len(new) == int(head[3]) - 1
        elif line[0] == "+":
            new.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            new += [line[1:]] if line[0] == " " else []
    return new + old[at:]


@given(old=LINES, new=LINES)
def test_a_diff_leads_from_one_to_the_other(old: list[str], new: list[str]) -> None:
    """Its lines, its numbers and its counts are right."""
    made = diff("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new), bound=1000)
    assert applied(old, made.text) == new
    assert made.added - made.removed == len(new) - len(old)
    assert made.added == sum(line.startswith("+") for line in made.text.split("\n"))


def test_a_diff_is_bounded() -> None:
    """In lines, in width, and in time: of thousands of changed lines nothing is compared."""
    old, new = "".join(f"{number}\n" for number in range(5000)), "".join(f"{number + 1}\n" for number in range(0, 10000, 2))
    made = diff(old, new, bound=50)
    lines = made.text.split("\n")
    assert len(lines) == 51 and lines[-1] == "(9951 more lines of the diff)"
    assert made.summary == "+5000 -5000 lines"
    assert len(diff("x" * 10_000, "y" * 10_000, bound=10).text) < 1100


def test_the_last_newline() -> None:
    """A change that no line shows."""
    assert diff("a", "a\n", bound=10).text == "(only the newline at the end of the file)"
    assert diff("a\n", "a\n", bound=10).text == ""
