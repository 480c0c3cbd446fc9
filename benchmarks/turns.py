"""What a turn costs: the 50th beside the first, and a tool call with its ledger."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from statistics import median

from attrs import evolve

from benchmarks.common import Client, Daemon, Lab, rule, timed, tokens
from benchmarks.figures import Figure, quiet
from benchmarks.passages import passages

_TURNS, _SESSIONS = 50, 12
_TEXT = "Tell me about the weather in the mountains, please. " * 6
_MANY, _DEARER = 1000, 2.0
_ALIKE = 1.2
"""How far the CPU of the 50th may be from the first's: noise, and the history of 49 turns that is encoded and sent along (0.2 ms).
The latency has no bar: it holds the model server's reading of that history, too."""
_TOOL = """
from agentd.tool import tool

@tool(effect="read", policy="allow")
def nothing() -> str:
    return "done"
"""


def fiftieth(lab: Lab) -> list[Figure]:
    """Sessions in turn, so that each number of a turn is measured at all times of the run; the middle of three neighbours."""
    with lab.server(rule("", tokens(200))) as port, lab.daemon(port) as daemon, closing(Client(daemon)) as client:
        client.turn(client.session(), "warm")
        runs = [[_turn(daemon, client, name) for _ in range(_TURNS)] for name in [client.session() for _ in range(_SESSIONS)]]
    first, last = ([_turn_of(runs, number, kind) for kind in (0, 1)] for number in (0, _TURNS - 1))
    figures = []
    for kind, name in enumerate(("CPU", "latency")):
        floor, value = first[kind] * 1000, last[kind] * 1000
        figure = Figure(name=f"the 50th turn, {name}", value=value, unit="ms", floor=floor, floor_name="ms the first")
        figures.append(figure.at_most(_ALIKE) if name == "CPU" else figure)
    return figures


def _turn(daemon: Daemon, client: Client, session: str, text: str = _TEXT) -> tuple[float, float]:
    """Seconds of CPU and of waiting."""
    cpu, began = daemon.process.cpu, time.perf_counter()
    client.turn(session, text)
    latency = time.perf_counter() - began
    return daemon.process.cpu - cpu, latency


def _turn_of(runs: list[list[tuple[float, float]]], number: int, kind: int) -> float:
    begin = min(max(0, number - 1), _TURNS - 3)
    return quiet(turn[kind] for session in runs for turn in session[begin : begin + 3])


def thousandth(lab: Lab) -> list[Figure]:
    """A session of 1,000 turns of 300 characters each way: its last 100 beside its first, with a server that reads and no more.

    The model's context has room for all of it. The medians are compared: every turn of the session is measured once.
    """
    asked = passages(2 * _MANY)[_MANY:]
    with (
        lab.listener(_MANY) as port,
        lab.daemon(port, AGENTD_PROVIDERS_OPENAI_CONTEXT="1000000") as daemon,
        closing(Client(daemon)) as client,
    ):
        client.turn(client.session(), "warm")
        session = client.session()
        runs = [_turn(daemon, client, session, text) for text in asked]
    figures = []
    for kind, name in enumerate(("CPU", "latency")):
        first, last = (median(run[kind] for run in some) * 1000 for some in (runs[:100], runs[-100:]))
        dearer = Figure(
            name=f"turns 900 to 1,000 dearer, {name}", value=last - first, unit="ms", floor=first, floor_name="ms the first 100"
        )
        figures.append(evolve(dearer, bar=_DEARER, rule=f"{_DEARER:g} ms"))
    return figures


def tool(lab: Lab) -> list[Figure]:
    """A function tool that does nothing: planned, started, run in its own process, finished; beside the start of a process."""
    home = lab.place("home")
    folder = home / "config" / "tools"
    folder.mkdir(parents=True)
    (folder / "bench.py").write_text(_TOOL)
    call = {"verb": "call", "name": "nothing"}
    rules = (rule("", call, after_tools=0), rule("", tokens(1), after_tools=1))
    floor_argv = [sys.executable, "-c", "pass"]
    with lab.server(*rules) as port, lab.daemon(port, home) as daemon, closing(Client(daemon)) as client:
        client.turn(client.session(), "warm")
        runs = [(*_call(daemon, client), timed(floor_argv, daemon.env)) for _ in range(20)]
    wall, cpu, floor = (quiet(run[i] for run in runs) * 1000 for i in (0, 1, 2))
    return [
        Figure(name="tool call: plan to outcome, own process", value=wall, unit="ms", floor=floor, floor_name="ms python -c pass"),
        Figure(name="  daemon CPU of its whole turn", value=cpu, unit="ms"),
    ]


def _call(daemon: Daemon, client: Client) -> tuple[float, float]:
    session = client.session()
    cpu = daemon.process.cpu
    client.socket.sendall(client.prompt(session, "go"))
    client.until("assistant_message")
    began = time.perf_counter()
    outcome = client.until("tool_finished")["data"]["outcome"]
    wall = time.perf_counter() - began
    client.until("turn_finished")
    assert outcome == "ok", outcome
    return wall, daemon.process.cpu - cpu
