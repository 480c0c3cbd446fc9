"""The daemon inside the client's program: the one module that may import agentd, so that a single binary can be both."""

from __future__ import annotations


def run_daemon(arguments: list[str]) -> int:
    """Runs the daemon in the foreground until it is stopped; returns its exit code."""
    from agentd.main import main

    return main(arguments)
