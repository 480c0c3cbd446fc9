"""What a command that failed should be told about its walls: it sees an error of the system, not the reason."""

from __future__ import annotations

import re

from agentd.ports import Sandbox

_NETWORK = re.compile(
    r"could not resolve|couldn't resolve|temporary failure (?:in name resolution|resolving)|name or service not known"
    r"|nodename nor servname|network is unreachable|ENETUNREACH|EAI_AGAIN|ENOTFOUND|unknown host|dial tcp: lookup"
    r"|failed to lookup address|name resolution",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"connection refused|ECONNREFUSED|couldn't connect to server|could not connect to server", re.IGNORECASE)
_READ_ONLY = re.compile(r"read-only file ?system|EROFS|readonly file system", re.IGNORECASE)
_PATHS = 5


def hints(said: str, sandbox: Sandbox | None) -> list[str]:
    """One remark for each wall that the end of the output looks like; none without walls."""
    if sandbox is None:
        return []
    found = []
    if not sandbox.network and _NETWORK.search(said):
        found.append("the network is off in the sandbox; call again with network: true, which asks the user")
    elif not sandbox.network and _REFUSED.search(said):
        found.append("without the network a command has a localhost of its own; a server and its clients all need network: true")
    if not sandbox.whole and _READ_ONLY.search(said):
        found.append(_writable(sandbox))
    return found


def leaves_behind(command: str) -> bool:
    """Whether it starts something with `&` and does not wait: inside of walls nobody sees what the end of the shell has ended."""
    if "&" not in command:
        return False
    from agentd.toolsources.bash_words import Unclear, lex  # loaded by now: the command has been judged

    try:
        tokens = lex(command).tokens
    except Unclear:
        return False
    started = any(token.kind == "operator" and token.text == "&" for token in tokens)
    return started and not any(token.kind == "word" and token.text == "wait" for token in tokens)


def _writable(sandbox: Sandbox) -> str:
    where = ", ".join(sandbox.write[:_PATHS])
    if not where:
        return "nothing can be written in the sandbox in this mode"
    return f"the sandbox lets commands write only in {where} and /tmp, and there not in .git/hooks or .agentd"
