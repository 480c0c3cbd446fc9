"""What is said about one simple command: the words to work with, and how its arguments are read without guessing."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Iterator, Sequence
from glob import iglob
from itertools import islice

from attrs import Factory, define, evolve, frozen

from agentd.toolsources.bash_words import Unclear
from agentwire.types import Access

_NAMES = 50
"""Files that a pattern is told to stand for, at most."""


@frozen
class Word:
    """A word of a command's argv. `glob`: file names, or several words, stand for it; `opaque`: it has a value in it that nobody
    knows yet; `assigns`: it is written like the setting of a variable."""

    text: str
    glob: bool = False
    opaque: bool = False
    assigns: bool = False


@define(kw_only=True)
class Meaning:
    """What a simple command does. `commands`, `scripts`: what it runs in turn, and where; `enters`: the shell's next directory."""

    accesses: list[Access] = Factory(list)
    commands: list[tuple[Sequence[Word], str]] = Factory(list)
    scripts: list[tuple[str, str]] = Factory(list)
    enters: str | None = None


@frozen(kw_only=True)
class Run:
    """A simple command that is looked at. `fed`: what writes into its standard input, empty if nothing, `?` if it is not plain."""

    name: str
    args: tuple[Word, ...]
    cwd: str
    roots: tuple[str, ...]
    home: str
    fed: str
    meaning: Meaning

    @property
    def texts(self) -> list[str]:
        return [word.text for word in self.args]

    def unclear(self, reason: str) -> None:
        self.meaning.accesses.append(Access(kind="unclear", target=f"{self.name}: {reason}"))

    def runs(self, words: Sequence[Word], cwd: str = "") -> None:
        """It runs another command."""
        if not words:
            raise Unclear(f"{self.name} without a command")
        self.meaning.commands.append((words, cwd or self.cwd))

    def resolve(self, path: str) -> str:
        return os.path.realpath(os.path.join(self.cwd, path))

    def reads(self, words: Iterable[Word]) -> None:
        """Files that it reads: all that exist in the workspace, and whatever lies outside."""
        for word in words:
            for path in self._places(word):
                if not beneath(path, self.roots) or os.path.lexists(path):
                    self.meaning.accesses.append(Access(kind="read", target=path))

    def writes(self, words: Iterable[Word]) -> None:
        for word in words:
            self.meaning.accesses += [Access(kind="write", target=path) for path in self._places(word)]

    def _places(self, word: Word) -> Iterator[str]:
        """The path; of a pattern the directory, and what it stands for now: a rule may be about one of these, or one a link."""
        path = self._place(word)
        if path is not None:
            yield path
        if path is not None and word.glob:
            yield from map(self.resolve, sorted(islice(iglob(word.text, root_dir=self.cwd), _NAMES)))

    def _place(self, word: Word) -> str | None:
        """The path; of a pattern the directory in which its names are looked for."""
        text = word.text
        if not text or text == "-" or "\0" in text:
            return None
        if word.glob:
            parts = text.split("/")
            first = next((number for number, part in enumerate(parts) if any(letter in part for letter in "*?[")), len(parts))
            if any(part[:1] == "." and part not in (".", "..") and part[1:2] in ("*", "?", "[") for part in parts[first:]):
                raise Unclear(f"{self.name}: a pattern that may mean ..")
            text = "/".join(parts[:first]) or ("/" if text.startswith("/") else ".")
            if ".." in parts[first:]:
                raise Unclear(f"{self.name}: a pattern with ..")
        return self.resolve(text)

    def strays(self, *, write: bool = False) -> None:
        """Any argument that names something outside of the workspace: as a word, behind `=`, `@`, or a short option's letter."""
        for word in self.args:
            for text in _names(word.text):
                path = self._place(evolve(word, text=text))
                if path is not None and not beneath(path, self.roots):
                    self.meaning.accesses.append(Access(kind="write" if write else "read", target=path))


def _names(text: str) -> list[str]:
    """What in an argument may be a path."""
    if len(text) > 4096 or "\n" in text:
        return []
    found = []
    if not text.startswith("-"):
        found.append(text)
    elif not text.startswith("--"):
        found += [text[2:], *_behind_letters(text)]
    if "=" in text:
        found.append(text.partition("=")[2])
    return [one.removeprefix("@") for one in found if one]


def _behind_letters(text: str) -> list[str]:
    """A path behind several letters of options: `-rf../x`, `-xzf/etc/x`, but not the end of `-Isub/x`."""
    above = re.fullmatch(r"-\w+?(\.\.(?:/.*)?)", text)
    root = re.fullmatch(r"-\w+(/[^/]+)(.*)", text)
    found = [above[1]] if above else []
    return [*found, root[1] + root[2]] if root and os.path.lexists(root[1]) else found


def names(text: str) -> frozenset[str]:
    """Words of a table, separated by blanks."""
    return frozenset(text.split())


def beneath(path: str, directories: Iterable[str]) -> bool:
    return any(path == directory or path.startswith(directory.rstrip("/") + "/") for directory in directories)


def parse_options(run: Run, *, flags: str = "", values: str = "", long_flags: str = "", long_values: str = "") -> int:
    """Where the operands begin. Each option must be known: one that is not might take the next word.

    `flags`, `values`: letters; the long ones without their dashes, separated by blanks. Error handling: Unclear.
    """
    at, args = 0, run.args
    while at < len(args):
        word = args[at]
        text = word.text
        if word.opaque or word.glob:
            raise Unclear(f"{run.name}: an argument that is not plain")
        if text == "--":
            return at + 1
        if not text.startswith("-") or text == "-":
            return at
        at += 1
        if text.startswith("--"):
            name, equals, _ = text[2:].partition("=")
            if name in long_values.split():
                at += 0 if equals else 1
            elif name not in long_flags.split() or equals:
                raise Unclear(f"{run.name}: the option {text}")
            continue
        for number, letter in enumerate(text[1:], 1):
            if letter in values:
                at += 1 if number == len(text) - 1 else 0
                break
            if letter not in flags:
                raise Unclear(f"{run.name}: the option {text}")
    return at


def forbid(run: Run, args: Sequence[Word], *, short: str = "", long: str = "", whole: str = "") -> None:
    """Refuse options by which a program does something else. `short`: letters, anywhere among others; `long`: names without dashes,
    and all that abbreviate them; `whole`: words with a single dash. Error handling: Unclear."""
    for word in args:
        text = word.text
        if text == "--":
            return
        if word.glob and text[:1] in "*?[":
            raise Unclear(f"{run.name}: a pattern that may stand for an option")
        name = text.partition("=")[0]
        if text.startswith("--") and any(bad.startswith(name[2:]) for bad in long.split() if name[2:]):
            raise Unclear(f"{run.name}: the option {text[:40]}")
        if name in whole.split() or (text[:1] == "-" and text[1:2] != "-" and any(letter in text[1:] for letter in short)):
            raise Unclear(f"{run.name}: the option {text[:40]}")
