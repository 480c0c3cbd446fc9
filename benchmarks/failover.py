"""From one model's failure to the first word of the next: two model servers, and aliases over both."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from attrs import evolve

from benchmarks.bare import Bare
from benchmarks.common import Client, Lab, rule
from benchmarks.figures import Figure, quiet
from benchmarks.wires import CHAT

_RUNS = 8
"""Each over a provider of its own: one that has failed is not asked again for a while."""
_BAR = 50
"""Milliseconds."""
_FAILURES: dict[str, dict[str, Any]] = {
    "429": {"fail": {"status": 429}},
    "500": {"fail": {"status": 500}},
    "cut": {"steps": [{"verb": "say", "text": "half a "}, {"verb": "cut"}]},
}
_SECOND = "second "


def failover(lab: Lab) -> list[Figure]:
    """After a 429, a 500, and a reply that is cut in its middle."""
    failing = [{"match": kind, "reply": reply} for kind, reply in _FAILURES.items()]
    with lab.server(*failing) as first, lab.server(rule("", {"verb": "say", "text": _SECOND})) as second:
        home = lab.place("home")
        (home / "config").mkdir()
        (home / "config" / "config.toml").write_text("\n".join(_configuration(first)))
        with lab.daemon(second, home) as daemon, closing(Client(daemon)) as client, closing(Bare(CHAT, second)) as bare:
            client.turn(client.session(), "warm")
            client.turn(client.session(), "warm")
            least = quiet(bare.first_token("go") for _ in range(_RUNS))
            return [_figure(client, first, kind, least) for kind in _FAILURES]


def _configuration(first: int) -> Iterator[str]:
    """The second server is `openai`, which is used already; the first has a name for each run."""
    for kind in _FAILURES:
        for number in range(_RUNS):
            name = f"first-{kind}-{number}"
            yield f'[providers.{name}]\nbase_url = "http://127.0.0.1:{first}/v1"\napi_key = "benchmark-key"'
            yield f'[models.{kind}-{number}]\ncandidates = ["{name}/scripted-1", "{CHAT.model}"]'


def _figure(client: Client, first: int, kind: str, least: float) -> Figure:
    took = quiet(_run(client, first, kind, number) for number in range(_RUNS)) * 1000
    figure = Figure(
        name=f"after a {kind}: first token of the next", value=took, unit="ms", floor=least * 1000, floor_name="ms bare client"
    )
    return evolve(figure, bar=_BAR, rule=f"{_BAR} ms")


def _run(client: Client, first: int, kind: str, number: int) -> float:
    """Seconds from the moment at which the first server had the request, which it fails at once."""
    session = client.session()
    parts = [{"kind": "text", "text": kind}]
    client.socket.sendall(client.frame("session/prompt", session=session, parts=parts, model=f"{kind}-{number}"))
    said, came = "", 0.0
    while (event := _event(client))["kind"] != "turn_finished":
        if event["kind"] == "delta":
            said += json.dumps(event["data"])
            came = came or (time.monotonic() if _SECOND in said else 0.0)
    if event["data"]["outcome"] != "done" or said.count(_SECOND) != 1:
        raise RuntimeError(f"the turn ended {event['data']} after {said}")
    with urllib.request.urlopen(f"http://127.0.0.1:{first}/requests") as answer:
        failed: float = json.load(answer)[-1]["at"]
    return came - failed


def _event(client: Client) -> dict[str, Any]:
    while (message := client.next()).get("method") != "event":
        pass
    event: dict[str, Any] = message["params"]
    return event
