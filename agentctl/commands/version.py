"""`agentctl version`, `agentctl --version`."""

from __future__ import annotations

from agentctl import arguments
from agentwire import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agentwire.paths import Paths


def parser() -> ArgumentParser:
    """The arguments of `version`."""
    return arguments.make("agentctl version", "the version of this program", "agentctl version\nagentctl --version")


def main(_: Paths, __: Namespace) -> int:
    """Prints name and version; asks no daemon."""
    print(f"agentctl {__version__}")
    return 0
