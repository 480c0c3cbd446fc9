"""`agentctl usage`: tables for people, values for scripts, and what the numbers leave out said beside them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.client.cli import agentctl
from tests.fakes.daemon_server import FakeDaemon


def row(key: str, requests: int, cost: float | None, unpriced: int = 0, title: str = "") -> dict[str, Any]:
    usage = {"input": 12_345 * requests, "output": 950, "cached": 8000, "reasoning": 0}
    return {"key": key, "requests": requests, "usage": usage, "cost": cost, "unpriced": unpriced, "estimated": 0, "title": title}


BUDGET = {"scope": "day", "unit": "usd", "limit": 5.0, "used": 1.0, "reserved": 0.0}
REPORT = {
    "rows": [row("3f2a" * 8, 2, 0.0123, title="about costs"), row("", 1, None, 1, title="deleted sessions")],
    "total": row("", 3, 0.0123, 1),
    "unpriced": ["x/y"],
    "budgets": [BUDGET],
}
NOTHING = {"rows": [], "total": row("", 0, 0.0) | {"usage": dict.fromkeys(("input", "output", "cached", "reasoning"), 0)}}


def at_terminal(home: Path, *arguments: str) -> list[str]:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "agentctl", "--no-color", "usage", *arguments]
    subprocess.run(command, env={**os.environ, "AGENTD_HOME": str(home)}, stdout=theirs, stderr=subprocess.DEVNULL, check=True)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    return said.splitlines()


def test_a_table_at_a_terminal(home: Path) -> None:
    """Numbers stand under each other; what has no price is a question mark; the last line is the total."""
    with FakeDaemon(home, answers={"usage/get": REPORT}):
        lines = at_terminal(home, "--by", "session")
    assert lines == [
        "SESSION   REQUESTS  INPUT  CACHED  OUTPUT  REASONING         COST",
        "3f2a3f2a         2  24.7k    8000     950          0      $0.0123  about costs",
        "-                1  12.3k    8000     950          0            ?  deleted sessions",
        "total            3  37.0k    8000     950          0  $0.0123 + ?",
    ]


def test_values_in_a_pipe(home: Path) -> None:
    """Whole numbers between tabs, and a question mark for what nobody knows; remarks are not among them."""
    with FakeDaemon(home, answers={"usage/get": REPORT}):
        answer = agentctl(home, "usage", "--by", "session")
    assert answer.out == (
        f"{'3f2a' * 8}\t2\t24690\t8000\t950\t0\t0.0123\tabout costs\n\t1\t12345\t8000\t950\t0\t?\tdeleted sessions\n"
    )
    assert "1 request of a model without a known price is not counted (x/y)" in answer.err
    assert "budget of today (UTC): $5.0000, $1.0000 used, $4.0000 left" in answer.err


def test_the_document(home: Path) -> None:
    """As the daemon gives it."""
    with FakeDaemon(home, answers={"usage/get": REPORT}):
        assert agentctl(home, "usage", "--json").document == REPORT


def test_what_is_asked_for(home: Path) -> None:
    """Days since for ever, unless said otherwise."""
    with FakeDaemon(home, answers={"usage/get": NOTHING | {"unpriced": [], "budgets": []}}) as daemon:
        first = agentctl(home, "usage")
        agentctl(home, "usage", "--by", "turn", "-s", "3f2a", "--since", "7d", "--limit", "5")
    asked, more = daemon.asked("usage/get")
    assert asked == {"by": "day", "session": "", "limit": 50}
    assert 0 <= time.time() - 7 * 86400 - more.pop("since") < 60
    assert more == {"by": "turn", "session": "3f2a", "limit": 5}
    assert (first.code, first.out) == (0, "") and "nothing was used yet" in first.err


@pytest.mark.parametrize("arguments", [("--by", "year"), ("--since", "yesterday"), ("--limit", "0")])
def test_wrong_arguments(home: Path, arguments: tuple[str, ...]) -> None:
    """Exit 2."""
    assert agentctl(home, "usage", *arguments).code == 2
