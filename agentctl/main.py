"""`agentctl`: finds the noun, imports its command alone, builds its parser alone, runs it, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from agentctl import arguments
from agentwire.errors import AgentError
from agentwire.paths import anchored, locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from agentwire.paths import Paths

COMMANDS = {
    "chat": "talk to the agent in this terminal (what `agentctl` alone does)",
    "run": "one prompt in, the answer out: for scripts and pipes",
    "session": "list, show, fork, export, configure and erase sessions",
    "model": "list the models, fetch some",
    "test-model": "try a model: connection, speed, tools, usage, and what to do about what fails",
    "job": "what sessions run in the background: list, read, end",
    "tool": "what models may call: list, show, call, and the history of all calls",
    "permission": "what tools may do: rules, what becomes of a call, trust in a project",
    "usage": "tokens and money, and what is left of the budgets",
    "status": "how the daemon is",
    "daemon": "run, start, stop and restart the daemon, read its log",
    "store": "check, back up, restore and shrink the file that has everything",
    "config": "every setting, its value and where it comes from",
    "paths": "where everything is kept",
    "version": "the version of this program",
}
_GLOBAL = {"-v", "--verbose", "-q", "--quiet", "--no-color"}
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: what a reader that left early ends every other program with."""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code (docs/cli.md). Never prints a traceback for an expected failure."""
    noun, rest = choose(sys.argv[1:] if argv is None else argv)
    if noun in ("help", ""):
        return _help(error="" if noun else rest[0])
    command = import_module(f"agentctl.commands.{noun.replace('-', '_')}")
    args = arguments.parse(command.parser(), rest)
    os.environ.update(anchored(os.environ))
    paths = locate(os.environ, os.getuid())
    for stream in (sys.stdout, sys.stderr):
        # Text that is no Unicode (lone surrogates in JSON, a file name in Latin-1) is shown escaped instead of ending the command.
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return _guarded(command.main, paths, args)


def choose(argv: list[str]) -> tuple[str, list[str]]:
    """The command and its arguments: global flags may come first; without a command it is the chat. "" is a name nobody has."""
    position = 0
    while position < len(argv) and argv[position] in _GLOBAL:
        position += 1
    flags, rest = argv[:position], argv[position:]
    if not rest:
        return "chat", flags
    if rest[0] in ("-h", "--help", "help"):
        return ("help", []) if len(rest) == 1 or rest[1] not in COMMANDS else (rest[1], ["--help"])
    if rest[0] in ("-V", "--version"):
        return "version", flags
    if rest[0].startswith("-"):
        return "chat", [*flags, *rest]
    if rest[0] not in COMMANDS:
        return "", rest
    return rest[0], [*flags, *rest[1:]]


def _guarded(command: Command, paths: Paths, args: Namespace) -> int:
    try:
        code = command(paths, args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # the shell's prompt does not continue the line of ^C
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except AgentError as error:
        return _failed(error, args)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        return _failed(AgentError(reason), args)
    return code


def _failed(error: AgentError, args: Namespace) -> int:
    from agentctl.output import Output, explained

    Output(args).fail(explained(error))
    return error.exit_code


def _help(*, error: str) -> int:
    from agentctl.help import overview, unknown

    if error:
        print(unknown(error, COMMANDS), file=sys.stderr)
        return 2
    print(overview(COMMANDS))
    return 0


if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[[Paths, Namespace], int]
