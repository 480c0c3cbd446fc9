"""Patterns of file names."""

from __future__ import annotations

import re

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from agentd.toolsources.files.patterns import compile_pattern, literal_start, split_absolute
from agentwire.errors import ToolError

NAMES = st.lists(st.sampled_from(["a", "b", "ab", "x.py", ".c"]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.py", ["a.py", "x/y/a.py", ".py"], ["a.pyc", "a.py/b"]),
        ("./*.py", ["a.py"], ["a.txt"]),
        ("src/*.py", ["src/a.py"], ["a.py", "src/x/a.py", "x/src/a.py"]),
        ("src/**/*.py", ["src/a.py", "src/x/y/a.py"], ["srcx/a.py", "src/a.js"]),
        ("**/test/**", ["test/a", "x/test/y/a"], ["test", "xtest/a"]),
        ("src/**", ["src/a", "src/x/a"], ["a", "src"]),
        ("**", ["a", "a/b"], []),
        ("a?c", ["abc", "x/abc"], ["ac", "a/c"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[!a]x", ["bx"], ["ax", "x"]),
        ("[]]x", ["]x"], ["[x"]),
        ("{a,b}.{c,d}", ["a.c", "b.d"], ["a.b", "ab.c"]),
        ("src/{x,y/**}/*.ts", ["src/x/a.ts", "src/y/deep/a.ts"], ["src/z/a.ts"]),
        ("a+(b).txt", ["a+(b).txt"], ["aab.txt"]),
        (r"\*.txt", ["*.txt"], ["a.txt"]),
        ("a,b", ["a,b"], ["a"]),
    ],
)
def test_what_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    """As people mean it, also who comes from git, ripgrep or a shell."""
    compiled = compile_pattern(pattern)
    assert [path for path in matching + others if compiled.matches(path)] == matching


@pytest.mark.parametrize("pattern", ["", "[z-a]", "x" * 2000, "{a,b}" * 10])
def test_what_is_no_pattern(pattern: str) -> None:
    """It says so."""
    with pytest.raises(ToolError, match="pattern"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["[", "{a", "a}", "{" * 500, "a{", "[]"])
def test_what_has_no_other_half_stands_for_itself(pattern: str) -> None:
    """As in a shell."""
    assert compile_pattern(pattern).matches(pattern)


@given(names=NAMES, stars=st.data())
def test_directories_that_can_hold_matches_are_looked_into(names: list[str], stars: st.DataObject) -> None:
    """Whatever matches, all directories above it lead to it."""
    path = "/".join(names)
    pattern = "/".join(stars.draw(st.sampled_from([name, "*", "**"])) for name in names)
    compiled = compile_pattern(pattern)
    if compiled.matches(path):
        event("matches")
        assert all(compiled.leads_to("/".join(names[:depth])) for depth in range(1, len(names)))


@given(st.text("*?[]{},!a/\\^-", max_size=12))
def test_any_text_is_taken(text: str) -> None:
    """A pattern or a ToolError, and nothing that takes long."""
    try:
        compile_pattern(text).matches("a/aa/aaa")
    except ToolError:
        return


def test_no_pattern_takes_for_ever() -> None:
    """Many stars on a long path."""
    assert not compile_pattern("**/" * 30 + "x").matches("a/" * 200 + "y")
    assert not compile_pattern("*a" * 60 + "b").matches("a" * 300)


def test_patterns_that_say_where_to_look() -> None:
    """Absolute ones, and those with `..`, look from their last plain directory on."""
    assert split_absolute("/usr/lib/**/*.so", ".") == ("**/*.so", "/usr/lib")
    assert split_absolute("../x/*.py", "src") == ("*.py", "src/../x")
    assert split_absolute("src/*.py", "lib") == ("src/*.py", "lib")
    assert split_absolute("/*.py", ".") == ("*.py", "/")
    assert literal_start("a/b/*/c/d") == "a/b"
    assert re.fullmatch(r".*/x", split_absolute("~/x/*", ".")[1])
