"""How a permission rule is written: `Tool` or `Tool(pattern)`. What a pattern means is core's (agentd/core/rules.py)."""

from __future__ import annotations

import re
from typing import Final

RULE: Final = re.compile(r"([\w*-]+)(?:\((.*)\))?", re.DOTALL)
HOST: Final = re.compile(r"(\*\.)?[a-z0-9_.:-]+", re.IGNORECASE)
NETWORK: Final = "network:"
DOMAIN: Final = "domain:"
_PATHS = ("read", "write", "edit")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")


def mistake(rule: str) -> str:
    """What is wrong with the text of a rule; empty if nothing is."""
    found = RULE.fullmatch(rule.strip())
    if found is None:
        return f"{rule!r} is no rule: expected Tool or Tool(pattern), such as shell(git status *)"
    name, pattern = found[1], found[2]
    if pattern is not None and not pattern.strip():
        return f"{rule!r} has an empty pattern: leave the parentheses out to mean all calls"
    if pattern is None or pattern == "*":
        return ""
    return _path_mistake(rule, pattern) if name in _PATHS else _pattern_mistake(rule, name, pattern)


def _path_mistake(rule: str, pattern: str) -> str:
    if pattern.startswith("~") and pattern != "~" and not pattern.startswith("~/"):
        return f"{rule!r}: expected an absolute path, one from here (./) or from your home (~/)"
    return f"{rule!r}: a path has no NUL in it" if "\0" in pattern else ""


def _pattern_mistake(rule: str, name: str, pattern: str) -> str:
    if pattern.startswith(DOMAIN):
        host = pattern.removeprefix(DOMAIN).strip()
        return (
            "" if HOST.fullmatch(host) else f"{rule!r}: expected a host's name, such as domain:example.org or domain:*.example.org"
        )
    if name == "fetch":
        return f"{rule!r}: expected fetch(domain:HOST), such as fetch(domain:example.org)"
    if any(quote in _QUOTED.sub("", pattern) for quote in "'\""):
        return f"{rule!r} has a quote that is not closed"
    if not pattern.removeprefix(NETWORK).strip():
        return f"{rule!r} names no command, such as network:npm ci"
    return ""
