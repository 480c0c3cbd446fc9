"""What `agentctl --help` says, and what a mistyped command is told."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

_TEMPLATE = """\
usage: agentctl [COMMAND] [ARGUMENTS]

An agent that outlives your terminal: sessions and turns live in the daemon
(agentd), this program talks to it. A daemon that does not run is started.

commands:
{commands}

everywhere:
  -v, --verbose     say more on stderr
  -q, --quiet       only answers and errors
  --no-color        no colours (NO_COLOR does the same)
  -h, --help        help, also after a command: agentctl session list --help
  --version         the version

examples:
  agentctl                                a new chat in this directory
  agentctl -c                             the last session here, continued
  agentctl run "explain this repository"  one answer on stdout
  git diff | agentctl run "review this"   a prompt, then standard input
  agentctl session list                   what there is
  agentctl daemon logs -f                 what the daemon does"""


def overview(commands: Mapping[str, str]) -> str:
    """The help of the program as a whole."""
    width = max(map(len, commands)) + 4
    return _TEMPLATE.format(commands="\n".join(f"  {name:{width}}{text}" for name, text in commands.items()))


def unknown(name: str, commands: Mapping[str, str]) -> str:
    """One line for a command that does not exist: the nearest one, and how to say a prompt."""
    near = get_close_matches(name, commands, 1)
    hint = f"did you mean `agentctl {near[0]}`?" if near else "for a prompt: agentctl run '...'; for the commands: agentctl --help"
    return f"agentctl: error: there is no command {name!r}; {hint}"
