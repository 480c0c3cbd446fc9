"""Many watchers of one streaming session: what each of them costs, and what a session beside it notices."""

from __future__ import annotations

import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from statistics import median

from attrs import frozen

from benchmarks.common import OURS, Client, Daemon, Lab, drive, rule, tokens
from benchmarks.figures import Figure, percentile, quiet

_WATCHERS = 500
_TOKENS, _DELAY = 200, 0.02
_ROUNDS = 3
_LAG = 100.0
"""Milliseconds: what a session may notice of others (99th of 100 tokens)."""
_FRAME = b"x" * 250
"""As long as the frame of one token."""


@frozen
class _Run:
    """`late`: of the tokens of the session beside it, in seconds; `cpu`: of the daemon, in seconds."""

    late: list[float]
    cpu: float


def watchers(lab: Lab) -> list[Figure]:
    """One session streams to 500 watchers, one beside it to its own client: 200 tokens each, 20 ms apart; with and without them."""
    _allow_descriptors()
    alone, crowded = [], []
    with lab.server(rule("warm", tokens(1)), rule("", tokens(_TOKENS, _DELAY, stamp=True))) as port, lab.daemon(port) as daemon:
        for _ in range(_ROUNDS):
            alone.append(_streamed(daemon, 0))
            crowded.append(_streamed(daemon, _WATCHERS))
    cost = (median(run.cpu for run in crowded) - median(run.cpu for run in alone)) / (_TOKENS * _WATCHERS)
    late, floor = (quiet(percentile(run.late, 0.99) for run in runs) * 1000 for runs in (crowded, alone))
    return [
        Figure(
            name=f"{_WATCHERS} watchers of one session: CPU of a token, each",
            value=cost * 1e6,
            unit="us",
            floor=_bare_send() * 1e6,
            floor_name="us one send",
        ),
        Figure(
            name="  lateness of a session beside it, p99",
            value=late,
            unit="ms",
            floor=floor,
            floor_name="ms without them",
            bar=_LAG,
            rule=f"{_LAG:g} ms",
        ),
    ]


def _streamed(daemon: Daemon, count: int) -> _Run:
    with ExitStack() as stack:
        speaker, beside, *crowd = [stack.enter_context(closing(Client(daemon))) for _ in range(count + 2)]
        watched, other = speaker.session(), beside.session()
        speaker.turn(watched, "warm")
        beside.turn(other, "warm")
        for client in crowd:
            client.call("session/watch", session=watched)
        stack.enter_context(_read([client.socket for client in crowd]))
        before = daemon.process.cpu
        speaker.socket.sendall(speaker.prompt(watched, "go"))
        streamed = drive([(beside.socket, beside.prompt(other, "go"))], OURS)
        speaker.until("turn_finished")
        return _Run(streamed.late, daemon.process.cpu - before)


@contextmanager
def _read(sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Another process reads all of them, and looks at nothing."""
    child = os.fork()
    if not child:
        try:
            with selectors.DefaultSelector() as selector:
                for connection in sockets:
                    selector.register(connection, selectors.EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _bare_send() -> float:
    """Seconds of CPU of one non-blocking send to each of as many sockets, which somebody reads."""
    pairs = [socket.socketpair() for _ in range(_WATCHERS)]
    with ExitStack() as stack:
        for pair in pairs:
            for end in pair:
                stack.enter_context(closing(end))
                end.setblocking(False)
        stack.enter_context(_read([ours for ours, _ in pairs]))
        used = []
        for _ in range(50):
            before = time.process_time()
            for _, theirs in pairs:
                theirs.send(_FRAME)
            used.append((time.process_time() - before) / len(pairs))
    return quiet(used)


def _allow_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
