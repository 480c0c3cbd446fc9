"""`agentctl session`: the sessions there are. A verb is a few requests and some printing; modules hold verbs of one kind."""

from __future__ import annotations

from importlib import import_module

from agentctl import arguments
from agentctl.commands.session import options
from agentctl.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl session list --here
agentctl session show 4f2a
agentctl session rename 4f2a "the parser rewrite"
agentctl session fork 4f2a --turn 3
agentctl session export 4f2a -o talk.md
agentctl session watch 4f2a --json | jq -r .kind
agentctl session delete 4f2a --yes"""
_MODULES = {
    "list": "listing",
    "show": "reading",
    "watch": "reading",
    "rename": "changing",
    "delete": "changing",
    "fork": "changing",
    "clean": "changing",
    "set": "settings",
    "get": "settings",
    "pin": "settings",
    "unpin": "settings",
    "export": "files",
    "import": "files",
}
"""Where each verb is, in a function of its name (`import_`, `set_`, ...)."""


def parser() -> ArgumentParser:
    """The arguments of `session`."""
    made = arguments.make("agentctl session", "sessions: conversations that survive everything", EXAMPLES)
    options.add(arguments.verbs(made))
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    module = import_module(f"agentctl.commands.session.{_MODULES[args.verb]}")
    code: int = getattr(module, f"{args.verb}_")(paths, args, Output(args))
    return code
