"""Patterns of file names: `*` and `?` within a name, `**` any depth, `[a-z]`, `{a,b}`. Pure.

A pattern without a slash is about names at any depth, as people mean `*.py`.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator

from attrs import frozen

from agentwire.errors import ToolError

_WILD = re.compile(r"[*?\[{]")
_TOKEN = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[[!^]?\]?[^\]/]*\])|(\\.)|([{},])|([^*?\[{},\\]+|.)", re.DOTALL)
_ALTERNATIVES = 100
_LONGEST = 1000  # characters


@frozen
class Pattern:
    """`prefix`: the directories in which alone there can be matches; empty for all."""

    expression: re.Pattern[str]
    prefix: str = ""

    def matches(self, path: str) -> bool:
        return self.expression.fullmatch(path) is not None

    def leads_to(self, directory: str) -> bool:
        """Whether there can be matches in the directory or below."""
        return f"{directory}/".startswith(self.prefix) or self.prefix.startswith(f"{directory}/")


def compile_pattern(text: str) -> Pattern:
    """For paths relative to where it is looked, without `./`. Raises ToolError."""
    if not text or len(text) > _LONGEST:
        raise ToolError("the pattern is empty, or longer than a pattern can be: give one such as **/*.py")
    text = text.removeprefix("./")
    fixed = literal_start(text)
    if "/" not in text.rstrip("/"):
        text = f"**/{text}"
    try:
        return Pattern(re.compile("".join(_pieces(text)), re.DOTALL), f"{fixed}/" if fixed else "")
    except re.error as error:
        raise ToolError(f"{text!r} is not a pattern of file names: {error}") from None


def literal_start(pattern: str) -> str:
    """The directories before the first one that has a wildcard."""
    *directories, _name = pattern.split("/")
    wild = next((number for number, name in enumerate(directories) if _WILD.search(name)), len(directories))
    return "/".join(directories[:wild])


def split_absolute(pattern: str, path: str) -> tuple[str, str]:
    """(pattern, path) for a pattern that says itself where to look: an absolute one, one from the home directory, or with `..`."""
    start = literal_start(pattern)
    if not pattern.startswith(("/", "~", "../")):
        return pattern, path
    return pattern[len(start) :].lstrip("/"), os.path.join(path, os.path.expanduser(start or "/"))


def _pieces(text: str) -> Iterator[str]:
    depth = 0
    for deep, any_depth, star, one, letters, escaped, brace, plain in _TOKEN.findall(text):
        if brace:
            depth += {"{": 1, "}": -1, ",": 0}[brace]
            yield {"{": "(?:", "}": ")", ",": "|"}[brace] if depth or brace == "}" else re.escape(brace)
        elif letters:
            yield "[" + ("^/" if letters[1] in "!^" else "") + _letters(letters)
        else:
            wild = "(?:[^/]+/)*" if deep else ".*" if any_depth else "[^/]*" if star else "[^/]" if one else ""
            yield wild or re.escape(escaped[1:] or plain)


def _letters(text: str) -> str:
    inside = text[1:-1].lstrip("!^") if text[1] in "!^" else text[1:-1]
    return re.escape(inside).replace(r"\-", "-") + "]"
