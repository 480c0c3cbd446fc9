"""Many sessions streaming at once: does everyone get every token in time?"""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack, closing
from statistics import median

from attrs import evolve, frozen

from benchmarks.common import OURS, RELAYED, SSE, Child, Client, Daemon, Dialect, Lab, drive, rule, tokens, unix
from benchmarks.figures import Figure, percentile, quiet
from benchmarks.wires import CHAT

_TOKENS, _DELAY = 200, 0.02
_IDEAL = _TOKENS * _DELAY
Requests = list[tuple[socket.socket, bytes]]


@frozen
class Bars:
    """`wall` as a multiple of the ideal, `late` in milliseconds, a token's `cpu` as a multiple of the relay's."""

    wall: float
    late: float
    cpu: float


@frozen
class Run:
    """One run of all streams: seconds, seconds, microseconds of CPU."""

    wall: float
    late: float  # the 99th of 100 tokens
    cpu: float  # a token


def fifty(lab: Lab) -> list[Figure]:
    """50 sessions of 200 tokens, 20 ms apart."""
    return _at_once(lab, 50, Bars(wall=1.02, late=15, cpu=1.75), rounds=3)


def two_hundred(lab: Lab) -> list[Figure]:
    """The same with 200: 10,000 tokens a second."""
    return _at_once(lab, 200, Bars(wall=1.1, late=50, cpu=1.0), rounds=3)


def _at_once(lab: Lab, sessions: int, bars: Bars, *, rounds: int) -> list[Figure]:
    """The daemon, the relay and bare connections in turn."""
    _allow_descriptors()
    ours, relayed, bare = [], [], []
    with lab.server(rule("warm", tokens(1)), rule("", tokens(_TOKENS, _DELAY, stamp=True))) as port, lab.daemon(port) as daemon:
        for _ in range(rounds):
            with ExitStack() as stack:
                ours.append(_run(_to_daemon(stack, daemon, sessions), OURS, daemon.process))
            with ExitStack() as stack, lab.relay(port) as (relay, path):
                sockets = [stack.enter_context(closing(unix(path))) for _ in range(sessions)]
                relayed.append(_run([(connection, b"go\n") for connection in sockets], RELAYED, relay))
            with ExitStack() as stack:
                connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(sessions)]
                bare.append(_run([(connection, CHAT.post("go")) for connection in connections], SSE, None))
    return _figures(f"{sessions} x {_TOKENS} tokens", _typical(ours), _typical(relayed), _typical(bare), bars)


def _to_daemon(stack: ExitStack, daemon: Daemon, sessions: int) -> Requests:
    clients = [stack.enter_context(closing(Client(daemon))) for _ in range(sessions)]
    names = [client.session() for client in clients]
    clients[0].turn(names[0], "warm")
    return [(client.socket, client.prompt(name, "go")) for client, name in zip(clients, names, strict=True)]


def _run(requests: Requests, dialect: Dialect, process: Child | None) -> Run:
    before = process.cpu if process else 0.0
    streamed = drive(requests, dialect)
    used = process.cpu - before if process else 0.0
    assert len(streamed.late) == len(requests) * _TOKENS, f"{len(streamed.late)} tokens came"
    return Run(streamed.wall, percentile(streamed.late, 0.99), used / len(streamed.late) * 1e6)


def _typical(runs: list[Run]) -> Run:
    """Of all rounds the best wall and lateness: one burst of other load in four seconds is somebody else's lateness."""
    return Run(quiet(run.wall for run in runs), quiet(run.late for run in runs), median(run.cpu for run in runs))


def _figures(name: str, ours: Run, relay: Run, bare: Run, bars: Bars) -> list[Figure]:
    wall = Figure(name=f"{name}: wall", value=ours.wall, unit="s", floor=_IDEAL, floor_name="s ideal")
    late = Figure(name="  lateness, p99", value=ours.late * 1000, unit="ms", floor=relay.late * 1000, floor_name="ms relay")
    cpu = Figure(name="  CPU per token", value=ours.cpu, unit="us", floor=relay.cpu, floor_name="us relay")
    return [
        wall.at_most(bars.wall),
        evolve(late, bar=bars.late, rule=f"{bars.late:g} ms"),
        cpu.at_most(bars.cpu),
        Figure(name="  the relay's wall", value=relay.wall, unit="s", floor=bare.wall, floor_name="s bare connections"),
        Figure(
            name="  the relay's lateness, p99", value=relay.late * 1000, unit="ms", floor=bare.late * 1000, floor_name="ms bare"
        ),
    ]


def _allow_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
