"""What a thousand sessions cost: their list over the socket, and from `agentctl`."""

from __future__ import annotations

import sys
import time
from contextlib import closing

from benchmarks.common import BIN, Client, Lab, rule, timed, tokens
from benchmarks.figures import Figure, quiet

_SESSIONS, _ROUNDS = 1000, 15
_LIST = 50.0
"""Milliseconds for all of them."""


def sessions(lab: Lab) -> list[Figure]:
    """1,000 sessions, each with a title: one page over the socket; and all of them as `agentctl session list` prints them."""
    with lab.server(rule("", tokens(1))) as port, lab.daemon(port) as daemon, closing(Client(daemon)) as client:
        for number in range(_SESSIONS):
            client.call("session/create", cwd=f"/home/somebody/project-{number % 50}", title=f"Conversation number {number}")
        pages = [_page(client) for _ in range(_ROUNDS)]
        commands = [(timed(*_command(daemon.env)), timed(*_floor(daemon.env))) for _ in range(_ROUNDS)]
    listed, floor = (quiet(run[kind] for run in commands) * 1000 for kind in (0, 1))
    return [
        Figure(name="1,000 sessions listed over the socket", value=quiet(pages) * 1000, unit="ms", bar=_LIST, rule="50 ms"),
        Figure(
            name="agentctl session list --all --json",
            value=listed,
            unit="ms",
            floor=floor,
            floor_name="ms python -c 'import argparse, json, socket'",
            bar=floor + _LIST,
            rule="the floor + 50 ms",
        ),
    ]


def _page(client: Client) -> float:
    began = time.perf_counter()
    assert len(client.call("session/list", limit=_SESSIONS)["sessions"]) == _SESSIONS
    return time.perf_counter() - began


def _command(env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    return [str(BIN / "agentctl"), "session", "list", "--all", "--json"], env


def _floor(env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-c", "import argparse, json, socket"], env
