"""Where configuration comes from: TOML files, `.env`, the environment, overrides; each laid over the ones before."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from agentwire.config_kinds import described
from agentwire.config_table import Key, Table, dotted
from agentwire.environment import ACCEPTED, ENVIRONMENT, OWN, PREFIX, configures, means_debug
from agentwire.errors import ConfigError

Read = Callable[[str], "str | None"]


class Value(NamedTuple):
    """A value and, for people, where it came from."""

    value: Any
    source: str


class Line(NamedTuple):
    """A variable in a `.env` file; `number` counts from 1."""

    text: str
    number: int


class _Place(NamedTuple):
    """Where a value stands: in words, what relative paths of it are relative to, and file and line if it has them."""

    words: str
    base: str
    file: str = ""
    line: int = 0


def read_file(path: str) -> str | None:
    """The text of a file, None if there is none. Raises ConfigError if it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not UTF-8 (byte {error.start})", file=path) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}", file=path) from None


class Layers:
    """Collects values: call its methods in the order of precedence, the last wins. `environ` is `.env` under the environment.

    `found`, by the names of `keys`: all that are fixed, and those of entries that were set. `entries`: the values of these, by
    section and entry.
    """

    def __init__(self, table: Table, environ: Mapping[str, str], data: str, read: Read) -> None:
        self.keys = dict(table.keys)
        self.found = {name: Value(key.default, "built-in") for name, key in table.keys.items()}
        self.entries: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
        self.warnings: list[str] = []
        self.environ = dict(environ)
        self._process = environ
        self._env_lines: dict[str, Line] = {}
        self._env_path = ""
        self._table = table
        self._places: dict[str, _Place] = {}
        self._fixed = {*_NAMES, *(name for key in table.keys.values() for name in key.env)}
        self._data = data
        self._read = read

    # --- TOML ----------------------------------------------------------------------------------------------------------------

    def toml(self, path: str, *, required: bool = False) -> None:
        """Lay a TOML file over what is there. Without the file nothing happens, unless it is `required`."""
        text = self._read(path)
        if text is None:
            if required:
                raise ConfigError(f"{path}: there is no such file, but AGENTD_CONFIG names it", file=path)
            return
        import tomllib  # a file to read is the exception

        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _syntax_error(path, text, str(error)) from None
        self._toml(table, (), path, text)

    def _toml(self, table: Mapping[str, Any], parents: tuple[str, ...], path: str, text: str) -> None:
        for word, raw in table.items():
            parts = (*parents, word)
            behind, wrong = self._table.is_section(parts), self._table.misnamed(parts)
            if behind and isinstance(raw, dict) and not wrong:
                self._toml(raw, parts, path, text)
                continue
            name, line = dotted(parts), line_of(text, parts)
            place = _Place(f"{path}:{line}: {name}", os.path.dirname(path), path, line)
            if wrong:
                self._fail(name, wrong, described(word), place)
            elif key := self._table.key(parts):
                self._from_toml(key, raw, place)
            elif behind:
                self._fail(name, f"a table [{name}]", described(raw), place)
            else:
                self._unknown_key(f"{path}:{line}", name)

    def _from_toml(self, key: Key, raw: Any, place: _Place) -> None:
        value = self._expand(raw, place, key.name)
        # A variable's text becomes what the key wants; in an error it is not shown, for the variable may be a secret.
        if value is not raw and isinstance(value, str):
            self._from_text(key, value, place, place.file, raw)
        else:
            self._set(key, value, place, place.file, raw)

    def _expand(self, raw: Any, place: _Place, name: str) -> Any:
        """`${VAR}` and `${VAR:-default}` replaced in strings, also those in lists and tables; `$${` stands for `${`."""
        if isinstance(raw, list):
            items = [self._expand(item, place, name) for item in raw]
            return items if items != raw else raw
        if isinstance(raw, dict):
            fields = {word: self._expand(item, place, name) for word, item in raw.items()}
            return fields if fields != raw else raw
        if not isinstance(raw, str) or "${" not in raw:
            return raw

        def replacement(match: re.Match[str]) -> str:
            variable: str | None = match[1]
            default: str | None = match[2]
            if variable is None:
                return "${"
            value = self.environ.get(variable)
            if default is not None:
                return value or default
            if value is None:
                self._fail(name, f"the environment variable {variable} to be set", "nothing", place)
            return value

        return _VARIABLE.sub(replacement, raw)

    # --- variables -----------------------------------------------------------------------------------------------------------

    def env_file(self, path: str) -> None:
        """Read the `.env` file; its values are laid down by `variables`, but `${VAR}` in TOML files sees them at once."""
        text = self._read(path)
        if text is None:
            return
        self._env_path, self._env_lines = path, dict(parse_env(text, path))
        self.environ = {name: line.text for name, line in self._env_lines.items()} | dict(self._process)

    def variables(self) -> None:
        """Lay the `.env` file, then the environment, over what is there."""
        path = self._env_path
        read = {name for key in self._table.keys.values() for name in key.env}
        for name, line in self._env_lines.items():
            if name in (*ENVIRONMENT, *OWN) and name not in read:
                self.warnings.append(f"{path}:{line.number}: {name} has no effect here, only in the environment")
            elif not self._known(name):
                self._unknown_variable(f"{path}:{line.number}", name)
        for name in self._process:
            if name.startswith(PREFIX) and not self._known(name):
                self._unknown_variable("environment", name)
        for key, name, value in self._chosen({name: line.text for name, line in self._env_lines.items()}):
            number = self._env_lines[name].number
            place = _Place(f"{path}:{number}: {name}", os.path.dirname(path), path, number)
            self._from_variable(key, value, place, f"{path} ({name})")
        for key, name, value in self._chosen(self._process):
            self._from_variable(key, value, _Place(f"environment variable {name}", self._data), f"environment ({name})")

    def _chosen(self, environ: Mapping[str, str]) -> Iterator[tuple[Key, str, str | list[str]]]:
        """For each key the first of its variables that is set and not empty; of numbered ones all, with the name of the first."""
        texts = {name: text.strip() for name, text in environ.items() if text.strip()}
        if "DEBUG" in texts:
            texts["DEBUG"] = "debug" if means_debug(texts["DEBUG"]) else ""
        for key in (*self._table.keys.values(), *self._of_entries(texts)):
            if name := next((name for name in key.env if texts.get(name)), ""):
                yield key, name, texts[name]
            if pool := [name for variable in key.numbered for name in _numbered(texts, variable)]:
                yield key, pool[0], list(dict.fromkeys(texts[name] for name in pool))

    def _of_entries(self, names: Iterable[str]) -> Iterator[Key]:
        """The keys of entries that these variables set. One whose name is written with - has _ there."""
        made: dict[str, Key] = {}
        for name in names:
            if found := self._table.of_variable(name):
                of, entry, leaf = found
                there = (known for known in self.entries.get(of.section, {}) if known.replace("-", "_") == entry)
                if key := of.key(next(there, entry), leaf):
                    made[key.name] = key
        yield from made.values()

    def _from_variable(self, key: Key, value: str | list[str], place: _Place, source: str) -> None:
        if isinstance(value, str):
            self._from_text(key, value, place, source)
        else:
            self._set(key, value, place, source, value)

    def _known(self, name: str) -> bool:
        if name.startswith(PREFIX) and name not in OWN:
            return name in self._fixed or self._table.of_variable(name) is not None
        return name in self._fixed or name in OWN or configures(name)

    # --- overrides -----------------------------------------------------------------------------------------------------------

    def overrides(self, overrides: Sequence[str]) -> None:
        """Lay `key.path=value` over what is there."""
        for number, override in enumerate(overrides, 1):
            name, equals, text = override.partition("=")
            name = name.strip()
            if not equals:  # the text is not repeated: it may be a secret with a typing error before it
                raise ConfigError(f"-c number {number}: expected key.path=value, for example turn.max_steps=20")
            parts = self._table.split(name)
            place = _Place(f"-c {name}", self._data)
            if wrong := self._table.misnamed(parts):
                self._fail(name, wrong, described(name), place)
            elif key := self._table.key(parts):
                self._from_text(key, text.strip(), place, "-c")
            else:
                self._unknown_key("-c", name)

    # --- one value -----------------------------------------------------------------------------------------------------------

    def _from_text(self, key: Key, text: str, place: _Place, source: str, raw: Any = None) -> None:
        raw = text if raw is None else raw
        try:
            value = key.kind.parse(text)
        except ValueError:
            self._fail(key.name, key.kind.expected, "***" if key.secret else described(raw), place)
        self._set(key, value, place, source, raw)

    def _set(self, key: Key, value: Any, place: _Place, source: str, raw: Any) -> None:
        try:
            checked = key.kind.check(value)
        except ValueError:
            self._fail(key.name, key.kind.expected, "***" if key.secret else key.kind.blame(raw), place)
        if key.kind.is_path and checked:
            checked = self._absolute(checked, place.base)
        self.keys[key.name], self.found[key.name], self._places[key.name] = key, Value(checked, source), place
        if found := self._table.entry(self._table.split(key.name)):
            of, name, (leaf,) = found
            self.entries.setdefault(of.section, {}).setdefault(name, {})[leaf] = checked

    def _absolute(self, path: str, base: str) -> str:
        if path == "~" or path.startswith("~/"):
            path = (self._process.get("HOME") or "/") + path[1:]
        return os.path.normpath(os.path.join(base, path))

    def refuse(self, name: str, expected: str, got: str) -> NoReturn:
        """Raises ConfigError for what was set under `name`, or first set behind it."""
        place = next(place for key, place in self._places.items() if key == name or key.startswith(f"{name}."))
        self._fail(name, expected, got, place)

    def _fail(self, name: str, expected: str, got: str, place: _Place) -> NoReturn:
        where: dict[str, Any] = {"file": place.file, "line": place.line} if place.file else {}
        label = "" if place.words.endswith(name) else f" ({name})"
        raise ConfigError(f"{place.words}{label}: expected {expected}, got {got}", key=name, expected=expected, **where)

    def _unknown_key(self, where: str, name: str) -> None:
        parent, _, leaf = name.rpartition(".")
        names = [*self._table.names(), *self._table.siblings(name)]
        siblings = {key.rpartition(".")[2]: key for key in names if key.rpartition(".")[0] == parent}
        near = siblings.get(_nearest(leaf, [*siblings], 0.6)) or _nearest(name, [*self._table.keys], 0.8)
        near = near or next((key for key in self._table.keys if key.endswith(f".{leaf}")), "")
        self.warnings.append(f"{where}: unknown key {name}" + (f"; did you mean {near}?" if near else ""))

    def _unknown_variable(self, where: str, name: str) -> None:
        near = _nearest(name, _NAMES, 0.8)
        if near or name.startswith(PREFIX):  # a stranger's variable is none of our business
            self.warnings.append(f"{where}: unknown variable {name}" + (f"; did you mean {near}?" if near else ""))


_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
_NAMES = (*ENVIRONMENT, *ACCEPTED)


def _numbered(names: Iterable[str], variable: str) -> list[str]:
    """The names that are `variable` with a number, by number."""
    found = [name for name in names if name.rpartition("_")[0] == variable and name.rpartition("_")[2].isdecimal()]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _nearest(name: str, names: Sequence[str], cutoff: float) -> str:
    import difflib  # only when something is wrong

    return next(iter(difflib.get_close_matches(name, names, 1, cutoff)), "")


# --- texts -------------------------------------------------------------------------------------------------------------------

_ASSIGNMENT = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s'"\#].*?)? )
    (?:\s+\#.*)?""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_env(text: str, path: str) -> Iterator[tuple[str, Line]]:
    """The variables of a `.env` file: NAME=VALUE lines, `export`, quotes, comments. Raises ConfigError with the line's number."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(stripped)
        if not match:  # the line is not repeated: it may hold a secret
            raise ConfigError(f"{path}:{number}: expected NAME=VALUE, NAME='VALUE' or a comment", file=path, line=number)
        quoted = match["quoted"]
        if quoted is not None:
            value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)
        else:
            value = match["literal"] or match["bare"] or ""
        yield match["name"], Line(value, number)


def line_of(text: str, parts: Sequence[str]) -> int:
    """The line where the key `parts` is set in valid TOML: that after the longest beginning that parses without the key.

    Only for messages: it parses the text once per line.
    """
    import tomllib

    lines = text.replace("\r\n", "\n").split("\n")
    start = 0
    for end in range(1, len(lines) + 1):
        try:
            table: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # inside a value of several lines
        for part in parts:
            table = table.get(part) if isinstance(table, dict) else None
        if table is not None:
            return start + 1
        start = end
    return start


def _syntax_error(path: str, text: str, message: str) -> ConfigError:
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    reason = message[: match.start()] if match else message
    return ConfigError(f"{path}:{line}: this is not TOML: {reason}", file=path, line=line)
