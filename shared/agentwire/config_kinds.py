"""The kinds of configuration values: what each expects, in words and in code, and how a value is shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from agentwire.rules import mistake

_KEYLIKE = re.compile(r"\b(sk-|ghp_|AKIA)[\w-]{6,}|(?<=://)[^/@\s]+(?=@)")


def masked(secret: Any) -> Any:
    """Enough of a secret to recognise it, never enough to use it; of a list or table each of them."""
    if isinstance(secret, Mapping):
        return {name: masked(one) for name, one in secret.items()}
    if isinstance(secret, list | tuple):
        return [masked(one) for one in secret]
    if not secret:
        return ""
    return f"{secret[:3]}…{secret[-4:]}" if len(secret) >= 20 else "***"


def shown(value: Any) -> Any:
    """A value that is no secret by its key, as it may be shown: what looks like an API key or a URL's password is masked."""
    return _KEYLIKE.sub("***", value) if isinstance(value, str) else value


def described(value: Any) -> str:
    """A wrong value in an error text."""
    text = repr(shown(value)) if isinstance(value, str | int | float | bool) else shown(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


@frozen
class Kind:
    """`check` returns the value in its one form or raises ValueError; `parse` makes a value of text (environment, `-c`).

    `plain` False: lists and tables, which no variable sets. `show` makes a value presentable that is no secret; `blame` says in an
    error text what of it is wrong.
    """

    expected: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any] = str
    is_path: bool = False
    plain: bool = True
    show: Callable[[Any], Any] = shown
    blame: Callable[[Any], str] = described


def _kind(expected: str, valid: Callable[[Any], bool], parse: Callable[[str], Any] = str, *, is_path: bool = False) -> Kind:
    def check(value: Any) -> Any:
        if not valid(value):
            raise ValueError(f"expected {expected}")
        return value

    return Kind(expected, check, parse, is_path)


def whole(low: int, high: int) -> Kind:
    # type(), not isinstance: true and false are ints in Python.
    return _kind(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high, int)


def seconds(low: float, high: float) -> Kind:
    return _amount("seconds", low, high)


def days(low: float, high: float) -> Kind:
    return _amount("days", low, high)


def dollars(high: float) -> Kind:
    return _amount("US dollars", 0, high)


def number(low: float, high: float) -> Kind:
    return _amount("", low, high)


def _amount(unit: str, low: float, high: float) -> Kind:
    expected = f"a number{unit and f' of {unit}'} from {low:.10g} to {high:.10g}"

    def check(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:  # NaN fails the comparison
            raise ValueError(f"expected {expected}")
        return float(value)

    return Kind(expected, check, float)


def choice(*words: str, synonyms: Mapping[str, str] | None = None, optional: bool = False) -> Kind:
    """One of `words` in any case; `optional`: or empty, which is no choice."""
    expected = "one of " + ", ".join(f"'{word}'" for word in words)

    def check(value: Any) -> str:
        word = value.lower() if isinstance(value, str) else None
        word = (synonyms or {}).get(word or "", word)
        if word is None or (word not in words and not (optional and word == "")):
            raise ValueError(f"expected {expected}")
        return word

    return Kind(expected, check)


def yes_or_no() -> Kind:
    words = {"true": True, "false": False}
    return _kind("true or false", lambda value: isinstance(value, bool), lambda text: words.get(text.lower(), text))


def optional(kind: Kind) -> Kind:
    """That, or None: not said."""
    return evolve(kind, check=lambda value: None if value is None else kind.check(value))


def matching(pattern: str, expected: str) -> Kind:
    """Text that matches as a whole, or is empty (= not set)."""
    compiled = re.compile(pattern)
    return _kind(expected, lambda value: isinstance(value, str) and (not value or compiled.fullmatch(value) is not None))


# An API key goes into an HTTP header: visible ASCII and nothing else.
SECRET = matching(r"[!-~]+", "a key of visible ASCII characters without spaces")
MODEL = matching(r"[^/\s,]+(/[^\s,]+)?(\s*,\s*[^/\s,]+(/[^\s,]+)?)*", "provider/model, an alias, or several with commas between")
NAME = matching(r"[a-z][a-z0-9_-]*", "a name of small letters, digits, - and _")
ANY_CASE_NAME = evolve(NAME, check=lambda value: NAME.check(value.lower() if isinstance(value, str) else value))
URL = matching(r"https?://[^\s/?#][^\s?#]*", "an http:// or https:// URL without ? and #")
PATTERN = matching(r"[^/\s]+/\S+|\*", "provider/model, with * for any letters")
CLASS = matching(r"([A-Za-z_][\w.]*|[~/].*\.py):[A-Za-z_]\w*", "a Python class as package.module:Class or /path/to/file.py:Class")
PATH = _kind("a path", lambda value: isinstance(value, str) and "\0" not in value, is_path=True)

# --- lists and tables ----------------------------------------------------------------------------------------------------------


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(f"value = {text}")["value"]


def _words(text: str) -> Any:
    """A list as TOML has it, or with commas between."""
    return _toml(text) if text.startswith("[") else [word.strip() for word in text.split(",")]


def _list_of(expected: str, item: Callable[[Any], bool], parse: Callable[[str], Any] = _words) -> Kind:
    checked = _kind(expected, lambda value: isinstance(value, list | tuple) and all(item(one) for one in value)).check
    return Kind(expected, lambda value: tuple(checked(value)), parse, plain=False, show=lambda value: [*map(shown, value)])


def _table_of(expected: str, item: Callable[[str, Any], bool]) -> Kind:
    valid = _kind(expected, lambda value: isinstance(value, Mapping) and all(item(name, one) for name, one in value.items())).check
    return Kind(expected, lambda value: dict(valid(value)), _toml, plain=False)


_header = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_header_value = re.compile(r"[\t -~]*")


def _wrong_rule(value: Any) -> str:
    """Of a list the first that is none."""
    rules = value if isinstance(value, list | tuple) else ()
    return next((shown(mistake(rule)) for rule in rules if isinstance(rule, str) and mistake(rule)), described(value))


RULES = evolve(
    _list_of(
        'a list of rules such as "read" or "shell(git status *)"',
        lambda rule: isinstance(rule, str) and not mistake(rule),
        _toml,
    ),
    blame=_wrong_rule,
)
PATHS = _list_of(
    'a list of paths, each absolute or from "~/" on',
    lambda path: isinstance(path, str) and path.startswith(("/", "~/")) and "\0" not in path,
)
MODULES = _list_of(
    'a list of Python modules such as "package.module"',
    lambda name: isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) is not None,
)
HOSTS = _list_of(
    'a list of hosts such as "localhost:3000" or "intranet"',
    lambda host: isinstance(host, str) and re.fullmatch(r"[a-z0-9.:_-]+", host) is not None,
)
SECRETS = _list_of("a list of keys of visible ASCII characters without spaces", lambda key: bool(key) and _is(SECRET, key))
HEADERS = _table_of(
    "a table of HTTP headers, names and texts",
    lambda name, text: _header.fullmatch(name) is not None and isinstance(text, str) and _header_value.fullmatch(text) is not None,
)
TABLE = _table_of("a table of fields", lambda *_: True)


def words(*known: str) -> Kind:
    """A list of some of `known`."""
    return _list_of("a list of " + ", ".join(f"'{word}'" for word in known), lambda word: word in known)


def _is(kind: Kind, value: Any) -> bool:
    try:
        kind.check(value)
    except ValueError:
        return False
    return True


_candidate = re.compile(r"[^/\s,]+(/[^\s,]+)?")
MOST_WEIGHT = 1_000_000
_CANDIDATES = f'provider/model, a list of them, or of {{model = "provider/model", weight = 2}} with weights from 1 to {MOST_WEIGHT}'


def _pair(value: Any) -> tuple[Any, Any] | None:
    """A model and its weight, whatever they are."""
    match value:
        case {"model": model, **rest} if not rest.keys() - {"weight"}:
            return model, rest.get("weight", 1)
        case (model, weight):
            return model, weight
        case str(model):
            return model, 1
    return None


def _weighted(value: Any) -> tuple[str, int]:
    pair = _pair(value)
    if pair is None or _mistake(pair):
        raise ValueError(f"expected {_CANDIDATES}")
    return pair


def _mistake(pair: tuple[Any, Any]) -> str:
    """What is wrong with it, if anything is."""
    model, weight = pair
    if not isinstance(model, str) or not _candidate.fullmatch(model):
        return f"the model {described(model)}"
    if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
        return f"the weight {described(weight)} of {described(model)}"
    return ""


def _wrong_candidate(value: Any) -> str:
    """Of a list the first that is none."""
    for one in _words(value) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
        pair = _pair(one)
        if pair is None or _mistake(pair):
            return described(one) if pair is None else _mistake(pair)
    return described(value)


def _candidates(value: Any) -> tuple[tuple[str, int], ...]:
    if isinstance(value, str):
        value = _words(value)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"expected {_CANDIDATES}")
    return tuple([_weighted(one) for one in value])


def _shown_candidates(value: Any) -> Any:
    return [model if weight == 1 else {"model": model, "weight": weight} for model, weight in value or ()]


CANDIDATES = Kind(_CANDIDATES, _candidates, _words, plain=False, show=_shown_candidates, blame=_wrong_candidate)
"""Models (or aliases) with the weight of each."""

# --- Ollama's address ------------------------------------------------------------------------------------------------------------

OLLAMA = "http://127.0.0.1:11434"
"""Where Ollama listens unless it is told otherwise."""

_HOST = re.compile(r"(?:(https?)://)?((?:[^\s/@]+@)?(?:\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]*))(?::(\d{1,5}))?(/\S*)?")
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - not to listen: where its clients go


def ollama_url(host: str) -> str:
    """The base URL that OLLAMA_HOST means, which a server and its clients share: a host, host:port, :port or URL; empty: OLLAMA.

    Without a port it is 11434, but that of the scheme where one is given. Raises ValueError if it is none of these.
    """
    found = _HOST.fullmatch(host.strip().strip("\"'"))
    if found is None or int(found[3] or 0) > 65535:
        raise ValueError("expected a host, host:port or an http:// or https:// URL")
    scheme, name, port, path = found.groups(default="")
    where = _EVERYWHERE.get(name, name)
    port = port or ("" if scheme else "11434")
    return f"{scheme or 'http'}://{where}{f':{port}' if port else ''}{path.rstrip('/')}"


HOST = Kind("a host, host:port or an http:// or https:// URL", lambda value: value and ollama_url(value))
"""Where Ollama is, as a URL."""
