"""Permission rules: `Tool` or `Tool(pattern)`, read once, matched against what a call would do. Pure.

A pattern is about one kind of access, and the name before it says which:

    shell(git status *)          a simple command, word by word: `*` stands for any letters of a word, as the last word for any
                                 further words; 'single' and "double" quotes take what is in them as it is
    shell(network:npm ci)        the same, where the command gets the network
    read(./src/**)  write(~/x)   a path that any tool reads or writes (`edit` is `write`): `*` within a name, `**` any depth
    fetch(domain:example.org)    a host; `domain:*.example.org` those below it

The bare name of a tool means all of its calls, but not a command's use of the network; a name may end with `*`.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from attrs import frozen

from agentwire.rules import DOMAIN, HOST, NETWORK, RULE
from agentwire.types import Access, Rule, Verdict

_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")
_PIECE = re.compile(r"""'([^']*)'|"([^"]*)"|(\*)|([^'"*]+)""")
_PATHS = {"read": "read", "write": "write", "edit": "write"}
"""Rules of these names are about an access of that kind, whichever tool wants it."""


@frozen
class Call:
    """What rules are asked about: a tool's name, one access of the call (None: the call as such), whether it has the network."""

    tool: str
    access: Access | None
    networked: bool = False


Test = Callable[[Call, Verdict], bool]


def matches(rule: Rule, call: Call, cwd: str, home: str) -> bool:
    """Whether the rule speaks of the call. A relative path in it is one from `cwd` on."""
    return _compiled(rule.rule, cwd, home)(call, rule.verdict)


def anchored(rule: str, directory: str) -> str:
    """The rule with a relative path in it taken as one from `directory` on."""
    found = RULE.fullmatch(rule.strip())
    if found is None or found[1] not in _PATHS or found[2] in (None, "*") or found[2].startswith(("/", "~")):
        return rule
    return f"{found[1]}({os.path.normpath(os.path.join(directory, found[2]))})"


@lru_cache(maxsize=4096)
def _compiled(text: str, cwd: str, home: str) -> Test:
    found = RULE.fullmatch(text.strip())
    if found is None:
        return lambda _call, _verdict: False
    name, pattern = found[1], found[2]
    if pattern is None or pattern == "*":
        return _bare(name)
    if name in _PATHS:
        return _path(_PATHS[name], pattern, cwd, home)
    if pattern.startswith(DOMAIN):
        return _domain(pattern.removeprefix(DOMAIN).strip().lower().rstrip("."))
    return _command(name, pattern)


def _bare(name: str) -> Test:
    expression = re.compile(_glob(name))

    def test(call: Call, verdict: Verdict) -> bool:
        if not expression.fullmatch(call.tool):
            return False
        whole_network = call.access is not None and call.access.kind == "network" and call.access.target == "*"
        return not (verdict == "allow" and whole_network and name != "*")

    return test


def _path(kind: str, pattern: str, cwd: str, home: str) -> Test:
    expression = re.compile(_path_expression(_absolute(pattern, cwd, home)))

    def test(call: Call, _verdict: Verdict) -> bool:
        access = call.access
        return access is not None and access.kind == kind and expression.fullmatch(access.target) is not None

    return test


def _absolute(pattern: str, cwd: str, home: str) -> str:
    if pattern == "~" or pattern.startswith("~/"):
        pattern = home + pattern[1:]
    return os.path.normpath(os.path.join(cwd, pattern))


def literal_path(rule: str, cwd: str, home: str) -> tuple[str, str] | None:
    """(kind, path) of a rule about one path, or all below it; None if it is about something else, or has other wildcards."""
    found = RULE.fullmatch(rule.strip())
    if found is None or found[1] not in _PATHS or found[2] in (None, "*"):
        return None
    path = _absolute(found[2], cwd, home).removesuffix("/**")
    return None if "*" in path else (_PATHS[found[1]], path)


def _path_expression(pattern: str) -> str:
    """`/**` at the end: the directory and all below it; `**/` anywhere: any directories, also none."""
    end = "(?:/.*)?" if pattern.endswith("/**") else ""
    pieces = re.split(r"(\*\*/|\*\*|\*)", pattern.removesuffix("/**"))
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return "".join(wild.get(piece, re.escape(piece)) for piece in pieces) + end


def _domain(name: str) -> Test:
    below = name.removeprefix("*") if name.startswith("*.") else ""

    def test(call: Call, _verdict: Verdict) -> bool:
        if call.access is None or call.access.kind != "network":
            return False
        host = call.access.target
        return host.endswith(below) if below else host == name

    return test


def _command(name: str, pattern: str) -> Test:
    networked = pattern.startswith(NETWORK)
    words = _WORD.findall(pattern.removeprefix(NETWORK))
    rest = len(words) > 1 and words[-1] == "*"
    fixed = [re.compile(_glob(word), re.DOTALL) for word in (words[:-1] if rest else words)]

    def test(call: Call, verdict: Verdict) -> bool:
        access = call.access
        if access is None or access.kind != "command" or not re.fullmatch(_glob(name), call.tool):
            return False
        if networked != call.networked and (networked or verdict == "allow"):
            return False
        return _words_match(fixed, access.words, rest=rest, by_name=verdict != "allow")

    return test


def _words_match(fixed: Sequence[re.Pattern[str]], words: Sequence[str], *, rest: bool, by_name: bool) -> bool:
    """`by_name`: a program that is given with its directory counts as one without; to allow, it must be just what was written."""
    if len(words) < len(fixed) or (not rest and len(words) != len(fixed)):
        return False
    pairs = list(zip(fixed, words, strict=False))
    first = pairs[0][0].fullmatch(words[0]) or (by_name and pairs[0][0].fullmatch(os.path.basename(words[0])))
    return bool(first) and all(expression.fullmatch(word) for expression, word in pairs[1:])


def _glob(word: str) -> str:
    """A word of a pattern as an expression: `*` is any text, what stands in quotes itself."""
    pieces = _PIECE.findall(word)
    return "".join(".*" if star else re.escape(single or double or plain) for single, double, star, plain in pieces)


# --- the rules that an answer proposes -------------------------------------------------------------------------------------------


_NAME = re.compile(r"[\w-]+")
_BARE_WORD = re.compile(r"[\w@%+=,./^~\[\]{}#!?&|;<>$`\\-]+", re.ASCII)
"""Without what has a meaning in a pattern, `:` for its prefixes among it."""


def proposal(tool: str, access: Access | None, *, networked: bool) -> str:
    """The rule that allows just this; empty if there is none."""
    if not _NAME.fullmatch(tool):
        return ""
    match access:
        case None:
            return tool
        case Access(kind="command", words=words):
            return f"{tool}({NETWORK if networked else ''}{' '.join(map(_quoted, words))})" if words else ""
        case Access(kind="read" | "write", target=target):
            return "" if "*" in target else f"{access.kind}({target})"
        case Access(kind="network", target=target) if HOST.fullmatch(target) and not target.startswith("*"):
            return f"fetch({DOMAIN}{target})"
        case _:
            return ""


def _quoted(word: str) -> str:
    if _BARE_WORD.fullmatch(word):
        return word
    if '"' not in word and "'" in word:
        return f'"{word}"'
    # A quote cannot stand in quotes of its kind: it stands in those of the other.
    return "".join(f"'{piece}'" if piece != "'" else '"\'"' for piece in re.split("(')", word) if piece) or "''"
