"""What asking a model costs: a request at the first and at the 51st turn of a session, and the very first use of a provider."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from statistics import median

import trio
from attrs import evolve

from agentd.ports import Delta, Message, Prompt
from agentd.providers.catalog import Catalog
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.dialect import Dialect
from agentd.providers.endpoint import Endpoint
from agentd.providers.messages_dialect import MessagesDialect
from agentd.providers.ollama_dialect import OllamaDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentwire.config import ProviderConfig, Timeouts
from agentwire.types import Text
from benchmarks.common import Client, Lab, rule, tokens
from benchmarks.figures import Figure, quiet
from benchmarks.passages import passages
from benchmarks.wires import CHAT, MESSAGES, OLLAMA, RESPONSES, WIRES, Wire

_SESSIONS, _TURNS = 40, 51
_REQUEST, _ALIKE = 1.0, 1.25
"""Milliseconds; and how far a request with 101 messages may be from one with 1: the system copies 30 KB more into the socket."""
_LAG = 150
"""Milliseconds."""


def requests(lab: Lab) -> list[Figure]:
    """CPU of a request and its one word, in every dialect: what the daemon's provider does, without the turn around it."""
    return [figure for wire in WIRES for figure in _requests(lab, wire)]


def _requests(lab: Lab, wire: Wire) -> list[Figure]:
    with lab.server(rule("", tokens(1))) as port:
        runs = trio.run(_sessions, wire, port)
    first, last = (median(run[turn] for run in runs) * 1000 for turn in (0, _TURNS - 1))
    one = Figure(name=f"a request, {wire.name}: CPU with 1 message", value=first, unit="ms", bar=_REQUEST, rule=f"{_REQUEST:g} ms")
    many = Figure(name=f"  with {2 * _TURNS - 1} messages", value=last, unit="ms", floor=first, floor_name="ms with 1")
    return [one, many.at_most(_ALIKE)]


async def _sessions(wire: Wire, port: int) -> list[list[float]]:
    """Seconds of CPU of each request, for each session."""
    endpoint = _endpoint(wire, port)
    said = passages(2 * _TURNS)
    try:
        return [await _session(endpoint, wire, f"s{number}", said) for number in range(_SESSIONS + 1)][1:]  # the first is cold
    finally:
        await endpoint.aclose()


async def _session(endpoint: Endpoint, wire: Wire, name: str, said: Sequence[str]) -> list[float]:
    history, spent, deltas = list[Message](), list[float](), list[Delta]()
    for turn in range(_TURNS):
        history.append(Message("user", (Text(text=said[2 * turn]),)))
        prompt = Prompt(model=wire.model.partition("/")[2], system="Be brief.", messages=list(history), session=name)
        before = time.process_time()
        async with endpoint.stream(prompt) as stream:
            await stream.drain(deltas.extend)
        spent.append(time.process_time() - before)
        history.append(Message("assistant", (Text(text=said[2 * turn + 1]),)))
    return spent


def _endpoint(wire: Wire, port: int) -> Endpoint:
    vendor = wire.model.partition("/")[0]
    base = f"http://127.0.0.1:{port}" + ("/v1" if wire in (CHAT, RESPONSES) else "")
    dialects: dict[str, Dialect] = {
        CHAT.name: ChatDialect(vendor, base),
        RESPONSES.name: ResponsesDialect(vendor),
        MESSAGES.name: MessagesDialect(vendor),
        OLLAMA.name: OllamaDialect(vendor),
    }
    config = ProviderConfig(api_keys=("benchmark-key",), base_url=base)
    return Endpoint(vendor, dialects[wire.name], config, Timeouts(), Catalog())


def first_use(lab: Lab) -> list[Figure]:
    """How long others wait while a daemon that has just started loads a vendor's library and sends its first request."""
    return [_first_use(lab, wire) for wire in WIRES]


def _first_use(lab: Lab, wire: Wire) -> Figure:
    with (
        lab.server(rule("", tokens(3))) as port,
        lab.daemon(port, wire=wire) as daemon,
        closing(Client(daemon)) as client,
        closing(Client(daemon)) as other,
    ):
        usual = quiet(_ping(other) for _ in range(50))
        worst = max(_meanwhile(client, other))
    name = f"first use, {wire.name}: longest wait of others"
    figure = Figure(name=name, value=worst * 1000, unit="ms", floor=usual * 1000, floor_name="ms a ping")
    return evolve(figure, bar=_LAG, rule=f"{_LAG} ms")


def _ping(client: Client) -> float:
    began = time.perf_counter()
    client.call("daemon/status")
    return time.perf_counter() - began


def _meanwhile(client: Client, other: Client) -> Iterator[float]:
    """How long each ping took, from the first prompt to the end of its turn."""
    client.socket.sendall(client.prompt(client.session(), "go"))
    while True:
        yield _ping(other)
        while client.ready:
            message = client.next()
            if message.get("method") == "event" and message["params"]["kind"] == "turn_finished":
                if message["params"]["data"]["outcome"] != "done":
                    raise RuntimeError(f"the turn ended {message['params']['data']}")
                return
