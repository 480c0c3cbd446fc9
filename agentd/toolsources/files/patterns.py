"""Patterns of file names: `*` and `?` within a name, `**` any depth, `[a-z]`, `{a,b}`. Pure.

A pattern without a slash is about names at any depth, as people mean `*.py`. Nothing here tries again what it has tried: names
are matched one after the other, with the set of places in the pattern where one may be; a name's expression is atomic after each
star. So no pattern takes long.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from agentwire.errors import ToolError

_WILD = re.compile(r"[*?\[{]")
_TOKEN = re.compile(r"(\*+)|(\?)|(\[[!^]?(?:\][^\]]*|[^\]]+)\])|\\(.)|(.)", re.DOTALL)
_ALTERNATIVES = 100
_LONGEST = 1000  # characters

Names = tuple[re.Pattern[str] | None, ...]
"""What the names of a path must be, one after the other; None: any names, also none."""


@frozen
class Pattern:
    """For paths relative to where it is looked, without `./`."""

    alternatives: tuple[Names, ...]

    def matches(self, path: str) -> bool:
        parts = path.split("/")
        return any(len(names) in _places(names, parts) for names in self.alternatives)

    def leads_to(self, directory: str) -> bool:
        """Whether there can be matches below the directory."""
        parts = directory.split("/")
        return any(any(place < len(names) for place in _places(names, parts)) for names in self.alternatives)


def compile_pattern(text: str) -> Pattern:
    """Raises ToolError."""
    if not text or len(text) > _LONGEST:
        raise ToolError("the pattern is empty, or longer than a pattern can be: give one such as **/*.py")
    try:
        return Pattern(tuple(_names(one) for one in _expanded(text)))
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


def _places(names: Names, parts: Sequence[str]) -> set[int]:
    """Where in the pattern one may be after `parts`."""
    places = _onward(names, {0})
    for part in parts:
        reached = set()
        for place in places:
            if place < len(names):
                expression = names[place]
                if expression is None:
                    reached.add(place)
                elif expression.fullmatch(part):
                    reached.add(place + 1)
        places = _onward(names, reached)
    return places


def _onward(names: Names, places: set[int]) -> set[int]:
    """With those that are reached by taking no names for a `**`."""
    for place in sorted(places):
        further = place
        while further < len(names) and names[further] is None:
            further += 1
            places.add(further)
    return places


def _names(text: str) -> Names:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if len(parts) == 1:
        parts.insert(0, "**")
    if parts[-1:] == ["**"]:
        parts.append("*")  # what is below, not the directory itself
    return tuple(None if part == "**" else re.compile(_expression(part), re.DOTALL) for part in parts)


def _expression(name: str) -> str:
    """After a star the first place where the next piece fits is as good as any other: so it is never left again."""
    pieces = [""]
    for star, one, letters, escaped, plain in _TOKEN.findall(name):
        if star:
            pieces.append("")
        else:
            pieces[-1] += "." if one else _letters(letters) if letters else re.escape(escaped or plain)
    first, *others = pieces
    middle = [f"(?>.*?{piece})" for piece in others[:-1]]
    return "".join([first, *middle, *(f".*{piece}" for piece in others[-1:])])


def _letters(text: str) -> str:
    negated = text[1] in "!^"
    inside = re.escape(text[1 + negated : -1]).replace(r"\-", "-")
    return f"[{'^' * negated}{inside}]"


# --- alternatives ----------------------------------------------------------------------------------------------------------------


def _expanded(text: str) -> list[str]:
    """The patterns that one with braces stands for. Raises ToolError if there are too many."""
    done: list[str] = []
    todo = [(text, 0)]
    while todo:
        one, start = todo.pop()
        opening, closing = _braces(one, start)
        if closing < 0:
            done.append(one)
        else:
            inside = _split(one[opening + 1 : closing])
            todo += [(one[:opening] + choice + one[closing + 1 :], opening) for choice in inside]
        if len(done) + len(todo) > _ALTERNATIVES:
            raise ToolError(f"the pattern has more than {_ALTERNATIVES} alternatives: make several calls")
    return done


def _braces(text: str, start: int) -> tuple[int, int]:
    """The first pair from `start` on; (-1, -1) if there is none."""
    open_at: list[int] = []
    for at, character in _unescaped(text, start):
        if character == "{":
            open_at.append(at)
        elif character == "}" and open_at:
            begun = open_at.pop()
            if not open_at:
                return begun, at
    return -1, -1


def _split(text: str) -> list[str]:
    """At the commas that are in no inner braces."""
    pieces, depth, begun = [], 0, 0
    for at, character in _unescaped(text, 0):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth <= 0:
            pieces.append(text[begun:at])
            begun = at + 1
    return [*pieces, text[begun:]]


def _unescaped(text: str, start: int) -> Iterator[tuple[int, str]]:
    escaped = False
    for at in range(start, len(text)):
        if not escaped and text[at] in "{},":
            yield at, text[at]
        escaped = not escaped and text[at] == "\\"
