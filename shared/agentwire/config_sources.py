"""Where configuration comes from: TOML files, `.env`, the environment, overrides; each laid over the ones before."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from agentwire.config_kinds import described
from agentwire.environment import ACCEPTED, ENVIRONMENT, OWN, PREFIX, means_debug
from agentwire.errors import ConfigError

if TYPE_CHECKING:
    from agentwire.config import Key

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
    """Collects values: call its methods in the order of precedence, the last wins. `environ` is `.env` under the environment."""

    def __init__(self, keys: Mapping[str, Key], environ: Mapping[str, str], data: str, read: Read) -> None:
        self.found = {name: Value(key.default, "built-in") for name, key in keys.items()}
        self.warnings: list[str] = []
        self.environ = dict(environ)
        self._process = environ
        self._env_lines: dict[str, Line] = {}
        self._env_path = ""
        self._keys = keys
        self._sections = {name[:dot] for name in keys for dot in (found.start() for found in re.finditer(r"\.", name))}
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
        self._table(table, (), path, text)

    def _table(self, table: Mapping[str, Any], parents: tuple[str, ...], path: str, text: str) -> None:
        for word, raw in table.items():
            parts = (*parents, word)
            name = ".".join(parts)
            if name in self._sections and isinstance(raw, dict):
                self._table(raw, parts, path, text)
                continue
            line = line_of(text, parts)
            place = _Place(f"{path}:{line}: {name}", os.path.dirname(path), path, line)
            if name in self._sections:
                self._fail(name, f"a table [{name}]", described(raw), place)
            elif name in self._keys:
                self._from_toml(self._keys[name], raw, place)
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
        """`${VAR}` and `${VAR:-default}` replaced in strings and lists of strings; `$${` stands for `${`."""
        if isinstance(raw, list):
            items = [self._expand(item, place, name) for item in raw]
            return items if items != raw else raw
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
        read = {name for key in self._keys.values() for name in key.env}
        for name, line in self._env_lines.items():
            if name in (*ENVIRONMENT, *OWN) and name not in read:
                self.warnings.append(f"{path}:{line.number}: {name} has no effect here, only in the environment")
            elif not _known(name):
                self._unknown_variable(f"{path}:{line.number}", name)
        for name in self._process:
            if name.startswith(PREFIX) and not _known(name):
                self._unknown_variable("environment", name)
        for key, name, text in self._chosen({name: line.text for name, line in self._env_lines.items()}):
            number = self._env_lines[name].number
            self._from_text(key, text, _Place(f"{path}:{number}: {name}", os.path.dirname(path), path, number), f"{path} ({name})")
        for key, name, text in self._chosen(self._process):
            self._from_text(key, text, _Place(f"environment variable {name}", self._data), f"environment ({name})")

    def _chosen(self, environ: Mapping[str, str]) -> Iterator[tuple[Key, str, str]]:
        """For each key the first of its variables that is set and not empty."""
        for key in self._keys.values():
            for name in key.env:
                text = environ.get(name, "").strip()
                if name == "DEBUG":
                    text = "debug" if means_debug(text) else ""
                if text:
                    yield key, name, text
                    break

    # --- overrides -----------------------------------------------------------------------------------------------------------

    def overrides(self, overrides: Sequence[str]) -> None:
        """Lay `key.path=value` over what is there."""
        for number, override in enumerate(overrides, 1):
            name, equals, text = override.partition("=")
            name = name.strip()
            if not equals:  # the text is not repeated: it may be a secret with a typing error before it
                raise ConfigError(f"-c number {number}: expected key.path=value, for example turn.max_steps=20")
            if name in self._keys:
                self._from_text(self._keys[name], text.strip(), _Place(f"-c {name}", self._data), "-c")
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
            self._fail(key.name, key.kind.expected, "***" if key.secret else described(raw), place)
        if key.kind.is_path and checked:
            checked = self._absolute(checked, place.base)
        self.found[key.name] = Value(checked, source)

    def _absolute(self, path: str, base: str) -> str:
        if path == "~" or path.startswith("~/"):
            path = (self._process.get("HOME") or "/") + path[1:]
        return os.path.normpath(os.path.join(base, path))

    def _fail(self, name: str, expected: str, got: str, place: _Place) -> NoReturn:
        where: dict[str, Any] = {"file": place.file, "line": place.line} if place.file else {}
        label = "" if place.words.endswith(name) else f" ({name})"
        raise ConfigError(f"{place.words}{label}: expected {expected}, got {got}", key=name, expected=expected, **where)

    def _unknown_key(self, where: str, name: str) -> None:
        parent, _, leaf = name.rpartition(".")
        siblings = {key.rpartition(".")[2]: key for key in (*self._keys, *self._sections) if key.rpartition(".")[0] == parent}
        near = siblings.get(_nearest(leaf, [*siblings], 0.6)) or _nearest(name, [*self._keys], 0.8)
        near = near or next((key for key in self._keys if key.endswith(f".{leaf}")), "")
        self.warnings.append(f"{where}: unknown key {name}" + (f"; did you mean {near}?" if near else ""))

    def _unknown_variable(self, where: str, name: str) -> None:
        near = _nearest(name, _NAMES, 0.8)
        if near or name.startswith(PREFIX):  # a stranger's variable is none of our business
            self.warnings.append(f"{where}: unknown variable {name}" + (f"; did you mean {near}?" if near else ""))


_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
_NAMES = (*ENVIRONMENT, *ACCEPTED)


def _known(name: str) -> bool:
    return name in _NAMES or name in OWN or re.fullmatch(r"[A-Z]+_API_KEY_\d+", name) is not None


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
