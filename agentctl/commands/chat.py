"""`agentctl chat`: the interactive chat; without a terminal on stdin, one prompt as `agentctl run` does."""

from __future__ import annotations

import sys

from agentctl import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl chat
agentctl chat "what does this repository do?"
agentctl chat -c                       go on with the last session of this directory
agentctl chat -s 4f2a                  go on with that session
echo "hello" | agentctl chat           answered like agentctl run"""


def parser() -> ArgumentParser:
    """The arguments of `chat`: those of a conversation, which `run` shares."""
    made = arguments.make("agentctl chat", "talk to the agent in this terminal", EXAMPLES)
    arguments.add_conversation(made)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Opens the chat. `args` has continue_last, session, model, prompt (words), and where given verbose, quiet, no_color."""
    if sys.stdin is None or not sys.stdin.isatty():
        from agentctl.commands.run import main as run

        return run(paths, args)
    from agentctl.chat.app import main as chat

    return chat(paths, args)
