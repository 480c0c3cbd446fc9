"""The daemon inside the client's program: the one module that may import agentd, so that a single binary can be both."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run_daemon(arguments: list[str]) -> int:
    """Runs the daemon in the foreground until it is stopped; returns its exit code."""
    from agentd.main import main

    return main(arguments)


def restore(path: str) -> dict[str, Any]:
    """Puts a backup (empty: the newest) in the place of the store where no daemon runs: the answer of `store/restore`."""
    from agentd.main import restore

    return restore(path)
