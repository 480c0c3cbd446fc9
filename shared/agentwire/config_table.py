"""The table of keys, derived from classes: a field made by `setting` is a key, one of an attrs class a section, and one made by
`entries` a section in which the user names the entries: aliases, providers, models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import evolve, field, frozen

from agentwire.config_kinds import Kind
from agentwire.environment import PREFIX

ONE_KEY = "api_key"
"""The key that may be given in numbered variables: each is one of `api_keys`."""


def setting(
    default: Any,
    kind: Kind,
    doc: str,
    *,
    env: tuple[str, ...] = (),
    numbered: bool = False,
    secret: bool = False,
    live: bool = True,
) -> Any:
    """`numbered`: its items are also given one by one, in variables with numbers at their ends. `live`: a reload makes a new value
    count at once; else it waits for a restart."""
    metadata = {"kind": kind, "doc": doc, "env": env, "numbered": numbered, "secret": secret, "live": live}
    return field(default=default, converter=kind.check, repr=not secret, metadata=metadata)


def entries(cls: type[Any], names: Kind, word: str, *, inline: bool = False, short: str = "") -> Any:
    """A mapping of names to `cls`. `word` stands for the name in texts. `inline`: the entries stand beside the sections of this
    class, with variables of their own. `short`: the key that is meant where a value stands for the whole entry."""
    return field(factory=dict, metadata={"entry": cls, "names": names, "word": word, "inline": inline, "short": short})


def section(attribute: Any) -> type[Any] | None:
    """The class of a nested section, if the attribute is one."""
    factory = getattr(attribute.default, "factory", None)
    return factory if isinstance(factory, type) and attrs.has(factory) else None


@frozen(kw_only=True)
class Key:
    """One row of the table. `env`: names in the order they are looked for, the first that is set counts; lists and tables have
    none. `numbered`: to these `_1`, `_2` and so on is added. `live`: a new value counts as soon as it is read again; else it waits
    for a restart."""

    name: str
    kind: Kind
    default: Any
    env: tuple[str, ...]
    numbered: tuple[str, ...]
    secret: bool
    live: bool
    doc: str


@frozen(kw_only=True)
class Entries:
    """A section whose entries the user names. `variables`: whether they have variables of our own. `keys`: those of one entry."""

    section: tuple[str, ...]
    names: Kind
    word: str
    short: str
    variables: bool
    keys: Mapping[str, Key]

    def key(self, name: str, leaf: str) -> Key | None:
        """That of the entry `name`; None if there is no such key."""
        if leaf not in self.keys:
            return None
        key, parts = self.keys[leaf], (*self.section, name, leaf)
        env = (variable(parts),) if self.variables and key.kind.plain else ()
        numbered = (variable((*parts[:-1], ONE_KEY)),) if self.variables and key.numbered else ()
        return evolve(key, name=dotted(parts), env=env, numbered=numbered)


class Table:
    """All keys there are. `keys`: those with fixed names; `entries`: where the user gives names."""

    def __init__(self, cls: type[Any]) -> None:
        self.keys: dict[str, Key] = {}
        self.entries: list[Entries] = []
        self._sections: set[tuple[str, ...]] = set()
        self._add(cls, (), {})

    @property
    def documented(self) -> dict[str, Key]:
        """Every key by the name that stands for it in texts."""
        named = (of.key(of.word, leaf) for of in self.entries for leaf in of.keys)
        return self.keys | {key.name: key for key in named if key is not None}

    def key(self, parts: Sequence[str]) -> Key | None:
        """The key of this name; of an entry also one that is not set yet."""
        if found := self.keys.get(".".join(parts)):
            return found
        found_in = self.entry(parts)
        if found_in is None:
            return None
        of, name, rest = found_in
        return of.key(name, ".".join(rest) or of.short)

    def entry(self, parts: Sequence[str]) -> tuple[Entries, str, tuple[str, ...]] | None:
        """The entry that `parts` lead into: its section, its name and what is left."""
        for of in self.entries:
            depth = len(of.section)
            if len(parts) > depth and tuple(parts[:depth]) == of.section and tuple(parts[: depth + 1]) not in self._sections:
                return of, parts[depth], tuple(parts[depth + 1 :])
        return None

    def is_section(self, parts: Sequence[str]) -> bool:
        """Whether keys are behind this name."""
        found = self.entry(parts)
        return tuple(parts) in self._sections or (found is not None and not found[2])

    def misnamed(self, parts: Sequence[str]) -> str:
        """What was expected of the name of the entry that `parts` lead into; empty if it may be called that, or there is none."""
        if found := self.entry(parts):
            try:
                found[0].names.check(found[1])
            except ValueError:
                return found[0].names.expected
        return ""

    def split(self, name: str) -> tuple[str, ...]:
        """The parts of a key as `dotted` writes it, or as people do who leave out the quotes around an entry's name."""
        parts = tuple(bare or quoted for quoted, bare in _PART.findall(name))
        found = self.entry(parts)
        if found is None or len(found[2]) < 2:
            return parts
        of, word, rest = found
        return (*of.section, ".".join((word, *rest[:-1])), rest[-1])

    def names(self) -> list[str]:
        """Of all keys and sections with fixed names."""
        return [*self.keys, *(".".join(parts) for parts in self._sections)]

    def of_variable(self, name: str) -> tuple[Entries, str, str] | None:
        """The section, entry and key that a variable of our own sets, if there is one; for a numbered one the list's key."""
        for of in self.entries:
            start = variable((*of.section, ""))
            if not of.variables or not name.startswith(start):
                continue
            entry, _, number = name[len(start) :].lower().rpartition(f"_{ONE_KEY}_")
            ends = [leaf for leaf, key in of.keys.items() if key.kind.plain and name.endswith(f"_{leaf.upper()}")]
            if number.isdigit():
                found = entry, f"{ONE_KEY}s"
            elif ends:
                found = name[len(start) : -len(ends[0]) - 1].lower(), ends[0]
            else:
                continue
            if found[0] and (*of.section, found[0]) not in self._sections:
                return of, *found
        return None

    def siblings(self, name: str) -> list[str]:
        """The keys of the entry that `name` leads into."""
        found = self.entry(self.split(name))
        return [dotted((*found[0].section, found[1], leaf)) for leaf in found[0].keys] if found else []

    def _add(self, cls: type[Any], parts: tuple[str, ...], special: Mapping[str, Any]) -> None:
        for attribute in attrs.fields(cls):
            name, about = (*parts, attribute.name), attribute.metadata
            if nested := section(attribute):
                self._sections.add(name)
                self._add(nested, name, about)
            elif "entry" in about:
                self._add_entries(parts if about["inline"] else name, about)
            elif "kind" in about:
                self.keys[".".join(name)] = _key(attribute, name, special)

    def _add_entries(self, at: tuple[str, ...], about: Mapping[str, Any]) -> None:
        self._sections.add(at)
        self.entries.append(
            Entries(
                section=at,
                names=about["names"],
                word=about["word"],
                short=about["short"],
                variables=about["inline"],
                keys={one.name: _key(one, (*at, about["word"], one.name), {}) for one in attrs.fields(about["entry"])},
            )
        )


def _key(attribute: Any, parts: tuple[str, ...], special: Mapping[str, Any]) -> Key:
    """`special`: what its section says of this key: a `kind` of its own, and further `env`."""
    about = attribute.metadata
    kind = special.get("kinds", {}).get(attribute.name, about["kind"])
    more: Mapping[str, tuple[str, ...]] = special.get("variables", {})
    return Key(
        name=dotted(parts),
        kind=kind,
        default=attribute.default,
        env=(variable(parts), *about["env"], *more.get(attribute.name, ())) if kind.plain else (),
        numbered=(variable((*parts[:-1], ONE_KEY)), *more.get(ONE_KEY, ())) if about["numbered"] else (),
        secret=about["secret"],
        live=about["live"],
        doc=about["doc"],
    )


def variable(parts: Sequence[str]) -> str:
    """Our own variable for a key."""
    return PREFIX + "_".join(parts).upper().replace("-", "_")


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PART = re.compile(r'"([^"]*)"|([^."]+)')


def dotted(parts: Sequence[str]) -> str:
    """A key as TOML writes it."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in parts)
