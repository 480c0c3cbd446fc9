"""What a command costs before it does anything: `agentctl status`, a request's round trip, the chat until it can be typed into."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from statistics import median

from benchmarks.common import BIN, Client, Daemon, Lab, timed, tokens
from benchmarks.common import rule as scripted
from benchmarks.figures import Figure, quiet

_RUNS = 50
_PATIENCE = 20.0


def status(lab: Lab) -> list[Figure]:
    """`agentctl status` on a warm daemon, beside the imports that no such program can do without."""
    with lab.server(scripted("", tokens(1))) as port, lab.daemon(port) as daemon:
        command = [str(BIN / "agentctl"), "status"]
        imports = [sys.executable, "-c", "import argparse, json, socket"]
        runs = [(timed(command, daemon.env), timed(imports, daemon.env)) for _ in range(_RUNS)]
    ours, floor = (quiet(run[i] for run in runs) * 1000 for i in (0, 1))
    name = "python -c 'import argparse, json, socket'"
    return [Figure(name="agentctl status", value=ours, unit="ms", floor=floor, floor_name=f"ms {name}").at_most(1.4)]


def round_trip(lab: Lab) -> list[Figure]:
    """One request over the socket, beside an echo."""
    with (
        lab.server(scripted("", tokens(1))) as port,
        lab.daemon(port) as daemon,
        lab.echo() as echo,
        closing(Client(daemon)) as client,
    ):

        def ask() -> None:
            client.call("daemon/status")

        def bounce() -> None:
            echo.sendall(b"x" * 60)
            echo.recv(65536)

        runs = [(_clock(ask), _clock(bounce)) for _ in range(500)]
    ours, floor = (quiet(run[i] for run in runs) * 1e6 for i in (0, 1))
    return [Figure(name="request round trip (daemon/status)", value=ours, unit="us", floor=floor, floor_name="us socket echo")]


def chat(lab: Lab) -> list[Figure]:
    """`agentctl chat` from its start to its prompt, on a warm daemon."""
    floor_argv = [sys.executable, "-c", "import prompt_toolkit.application"]
    with lab.server(scripted("", tokens(1))) as port, lab.daemon(port) as daemon:
        runs = [(_until_prompt(daemon), timed(floor_argv, daemon.env)) for _ in range(5)]
    ours, floor = (median(run[i] for run in runs) * 1000 for i in (0, 1))
    return [
        Figure(
            name="agentctl chat, start to prompt",
            value=ours,
            unit="ms",
            floor=floor,
            floor_name="ms import prompt_toolkit.application",
        )
    ]


def _until_prompt(daemon: Daemon) -> float:
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BIN / "agentctl", ["agentctl", "chat"], daemon.env)
    seen = b""
    try:
        while b"> " not in seen:
            if not select.select([terminal], [], [], _PATIENCE)[0]:
                raise TimeoutError(f"no prompt in {seen!r}")
            seen += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _clock(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
