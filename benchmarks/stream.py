"""One reply on its way through the daemon: CPU per token, and what comes on top of the model's own first token."""

from __future__ import annotations

import time
from contextlib import closing
from statistics import median

import trio
from attrs import evolve

from benchmarks.bare import Bare, read
from benchmarks.common import RELAYED, Client, FullCommit, Lab, drive, rule, tokens, unix
from benchmarks.figures import Figure, quiet
from benchmarks.wires import WIRES, Wire

_TOKENS = 2000
_ROUNDS = 5
_ADDED = 1.5
_REPLIES = 8
"""Per round: a round is some tenths of a second, long enough for a CPU to find its pace."""


def tokens_at_once(lab: Lab) -> list[Figure]:
    """2,000 tokens without delay, in every dialect."""
    return [figure for wire in WIRES for figure in _at_once(lab, wire)]


def _at_once(lab: Lab, wire: Wire) -> list[Figure]:
    """The daemon, the relay and the bare client in turn."""
    ours, relayed, bare = [], [], []
    with (
        lab.server(rule("", tokens(_TOKENS))) as port,
        lab.daemon(port, wire=wire) as daemon,
        lab.relay(port, wire) as (relay, path),
        closing(Client(daemon)) as client,
        closing(unix(path)) as connection,
    ):
        client.turn(client.session(), "warm")
        drive([(connection, b"warm\n")], RELAYED)
        for _ in range(_ROUNDS):
            sessions = [client.session() for _ in range(_REPLIES)]
            before = daemon.process.cpu
            for session in sessions:
                client.turn(session, "go")
            ours.append(daemon.process.cpu - before)
            before = relay.cpu
            for _ in range(_REPLIES):
                drive([(connection, b"go\n")], RELAYED)
            relayed.append(relay.cpu - before)
            before = time.process_time()
            assert trio.run(read, wire, port, "go", _REPLIES) == _TOKENS * _REPLIES
            bare.append(time.process_time() - before)
    per_token = 1e6 / (_TOKENS * _REPLIES)
    us, floor, least = (median(runs) * per_token for runs in (ours, relayed, bare))
    name = f"2,000 tokens at once, {wire.name}: CPU per token"
    return [
        Figure(name=name, value=us, unit="us", floor=floor, floor_name="us relay", bar=wire.bar, rule=f"{wire.bar:g} us"),
        Figure(name="  the relay", value=floor, unit="us", floor=least, floor_name="us bare client"),
    ]


def first_token(lab: Lab) -> list[Figure]:
    """From the prompt to its first token, in every dialect."""
    return [figure for wire in WIRES for figure in _first_token(lab, wire)]


def _first_token(lab: Lab, wire: Wire) -> list[Figure]:
    """Each time in a new session, less the same of a bare client and less one commit."""
    with (
        lab.server(rule("", tokens(3))) as port,
        lab.daemon(port, wire=wire) as daemon,
        closing(Client(daemon)) as client,
        closing(Bare(wire, port)) as bare,
        closing(FullCommit(lab.place("floor"))) as commit,
    ):
        for _ in range(5):
            client.turn(client.session(), "warm")
        runs = [(_first(client, client.session()), bare.first_token("go"), commit()) for _ in range(100)]
    ours, least, floor = (quiet(run[i] for run in runs) * 1000 for i in (0, 1, 2))
    added = Figure(name=f"added first token, {wire.name}", value=ours - least, unit="ms", floor=floor, floor_name="ms FULL commit")
    return [
        evolve(added, bar=floor + _ADDED, rule=f"the floor + {_ADDED:g} ms"),
        Figure(name="  the bare client's first token", value=least, unit="ms"),
    ]


def _first(client: Client, session: str) -> float:
    frame = client.prompt(session, "go")
    began = time.perf_counter()
    client.socket.sendall(frame)
    client.until("delta")
    first = time.perf_counter() - began
    client.until("turn_finished")
    return first
