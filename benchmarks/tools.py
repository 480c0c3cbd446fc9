"""What a ledgered tool call costs in the loop: 50 in one turn, beside bare commits and a client that makes the same 50 requests."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
from attrs import evolve

from benchmarks.common import Client, FullCommit, Lab
from benchmarks.figures import Figure, quiet
from benchmarks.listener import arguments
from benchmarks.wires import CHAT

_CALLS, _TURNS = 50, 15
_COMMITS = 2
"""Message, plan and start share one, the outcome has the second."""
_BAR, _ALIKE = 2.0, 1.25
"""Milliseconds above those commits; and how far the CPU of the last ten calls may be from the first ten's: a history of 50 steps is
sent along."""


def calls(lab: Lab) -> list[Figure]:
    """A built-in tool without a process of its own. A step is from the last outcome to the next; turns and floors alternate,
    so that both see the machine as it is at the time."""
    folder = lab.place("floor")
    with (
        lab.listener("calls", _CALLS) as port,
        lab.daemon(port) as daemon,
        closing(Client(daemon)) as client,
        closing(FullCommit(folder)) as commit,
        closing(_Bare(port, _schemas(client))) as bare,
    ):
        _steps(client)
        steps, requests, commits, spent = [], [], [], []
        for _ in range(_TURNS):
            before = daemon.process.cpu
            steps.append(list(_steps(client)))
            spent.append(daemon.process.cpu - before)
            requests.append([bare.request(n) for n in range(_CALLS + 1)])  # the turn's last one, too: the server counts them
            commits += [sum(commit() for _ in range(_COMMITS)) for _ in range(_CALLS)]
    above = [quiet(turn[n] for turn in steps) - quiet(turn[n] for turn in requests) for n in range(_CALLS)]
    return _figures(above, quiet(commits), quiet(sum(turn) / len(turn) for turn in requests), quiet(spent) / _CALLS)


def _figures(above: Sequence[float], commits: float, request: float, cpu: float) -> list[Figure]:
    """`above` the bare request, of each call; all in seconds."""
    floor, name = commits * 1000, f"ms {_COMMITS} bare FULL commits"
    first, last = (sum(some) / len(some) * 1000 for some in (above[:10], above[-10:]))
    every = Figure(name="a tool call in a turn of 50, above its request", value=sum(above) / len(above) * 1000, unit="ms")
    bar = floor + _BAR
    return [
        evolve(every, floor=floor, floor_name=name, bar=bar, rule=f"floor + {_BAR:g} ms"),
        Figure(name="  the last ten", value=last, unit="ms", floor=first, floor_name="ms the first ten", bar=bar, rule="the same"),
        Figure(name="  daemon CPU, its request included", value=cpu * 1000, unit="ms"),
        Figure(name="  the bare request", value=request * 1000, unit="ms"),
    ]


def _steps(client: Client) -> Iterator[float]:
    """Seconds of each step of a turn, in a new session."""
    session = client.session()
    client.socket.sendall(client.prompt(session, "go"))
    client.until("turn_started")
    began = time.perf_counter()
    for _ in range(_CALLS):
        if (outcome := client.until("tool_finished")["data"]["outcome"]) != "ok":
            raise RuntimeError(f"the call ended {outcome}")
        now = time.perf_counter()
        yield now - began
        began = now
    client.until("turn_finished")


def _schemas(client: Client) -> list[dict[str, Any]]:
    """The tools as a request has them."""
    names = ("name", "description", "parameters")
    return [{"type": "function", "function": {name: tool[name] for name in names}} for tool in client.call("tool/list")["tools"]]


class _Bare:
    """A blocking client on a kept connection that asks what the daemon asks, with the same history."""

    def __init__(self, port: int, tools: list[dict[str, Any]]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bodies = [self._post(number, tools) for number in range(_CALLS + 1)]

    def _post(self, number: int, tools: list[dict[str, Any]]) -> bytes:
        messages: list[dict[str, Any]] = [{"role": "system", "content": "x" * 1500}, {"role": "user", "content": "go"}]
        for step in range(number):
            written = msgspec.json.encode(arguments(step)).decode()
            call = {"id": f"call-{step}", "type": "function", "function": {"name": "todo", "arguments": written}}
            messages += [
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": f"[>] step {step}"},
            ]
        body = msgspec.json.encode({"model": "scripted-1", "messages": messages, "tools": tools, "stream": True})
        head = f"POST {CHAT.path} HTTP/1.1\r\nhost: bare\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def request(self, number: int) -> float:
        """Seconds from the request to the end of its reply."""
        began = time.perf_counter()
        self._socket.sendall(self._bodies[number])
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += self._socket.recv(65536)
        return time.perf_counter() - began

    def close(self) -> None:
        self._socket.close()
