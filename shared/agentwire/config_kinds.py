"""The kinds of configuration values: what each expects, in words and in code, and how a value is shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen


@frozen
class Kind:
    """`check` returns the value in its one form or raises ValueError; `parse` makes a value of text (environment, `-c`)."""

    expected: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any] = str
    is_path: bool = False


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


def _amount(unit: str, low: float, high: float) -> Kind:
    expected = f"a number of {unit} from {low:.10g} to {high:.10g}"

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


def matching(pattern: str, expected: str) -> Kind:
    """Text that matches as a whole, or is empty (= not set)."""
    compiled = re.compile(pattern)
    return _kind(expected, lambda value: isinstance(value, str) and (not value or compiled.fullmatch(value) is not None))


# An API key goes into an HTTP header: visible ASCII and nothing else.
SECRET = matching(r"[!-~]+", "a key of visible ASCII characters without spaces")
MODEL = matching(r"[^/\s]+/\S+", "provider/model")
URL = matching(r"https?://[^\s/]\S*", "an http:// or https:// URL")
PATH = _kind("a path", lambda value: isinstance(value, str) and "\0" not in value, is_path=True)

_rule = re.compile(r"[\w*-]+(\(.+\))?", re.DOTALL)


def _is_rules(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(rule, str) and _rule.fullmatch(rule) for rule in value)


def _array(text: str) -> Any:
    import tomllib

    return tomllib.loads(f"value = {text}")["value"]


_rules = _kind('a list of rules such as "read" or "shell(git status *)"', _is_rules, _array)
RULES = Kind(_rules.expected, lambda value: tuple(_rules.check(value)), _array)

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


_KEYLIKE = re.compile(r"\b(sk-|ghp_|AKIA)[\w-]{6,}|(?<=://)[^/@\s]+(?=@)")


def masked(secret: str) -> str:
    """Enough of a secret to recognise it, never enough to use it."""
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
