"""Exports and imports against the daemon's own core: what a session holds goes to a file and comes back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.archive import document, files
from agentctl.archive.source import Call, Source
from agentctl.archive.target import Target
from agentwire.types import HistoryMessage
from tests.client.histories import blob, contents, histories, texts, with_blob
from tests.fakes.house import House, open_house
from tests.fakes.models import FakeModels, Say

PLACE = {"cwd": "/", "environment": {}}


def bridge(house: House) -> Call:
    """A blocking client's requests, from a thread beside the core."""

    def call(method: str, params: dict[str, Any]) -> dict[str, Any]:
        async def ask() -> bytes:
            return msgspec.json.encode(await house.call(method, **params))

        answer: dict[str, Any] = msgspec.json.decode(trio.from_thread.run(ask))
        return answer

    return call


def exported(call: Call, session: str) -> str:
    pieces: list[str] = []
    files.FORMATS["json"](Source(call, session), pieces.append)
    return "".join(pieces)


def imported(call: Call, text: str) -> str:
    found = document.read(text.encode(), "talk.json")
    return str(Target(found, found.title, PLACE).fill(call)["id"])


def without_identity(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    for name in ("id", "created_at", "updated_at", "parent"):
        del value["session"][name]
    return value


@settings(max_examples=25)
@given(
    messages=histories,
    blobs=st.lists(contents.filter(bool), max_size=2),
    title=texts.map(lambda text: text[:100]).filter(bool),
    variables=st.dictionaries(st.sampled_from(["A", "b_2"]), st.text(max_size=9), max_size=2),
)
def test_round_trip(messages: list[HistoryMessage], blobs: list[bytes], title: str, variables: dict[str, str]) -> None:
    """export(import(export(x))) is export(x) but for ids and times, by the daemon's own rules for what a history is."""

    def script(call: Call) -> None:
        whole = [*messages, *map(with_blob, blobs)]
        kept = {blob(content).blob: content for content in blobs}
        first = document.Document(
            title=title,
            messages=[msgspec.to_builtins(message) for message in whole],
            preferences={"max_steps": 3, "instructions": title, "pinned": True},
            variables=variables,
            blobs={name: msgspec.to_builtins(content) for name, content in kept.items()},
        )
        text = exported(call, Target(first, title, PLACE).fill(call)["id"])
        assert without_identity(exported(call, imported(call, text))) == without_identity(text)
        assert set(json.loads(text)["blobs"]) == set(kept)

    async def main() -> None:
        async with open_house(FakeModels(lambda _: Say("hello"))) as house:
            await trio.to_thread.run_sync(script, bridge(house))

    trio.run(main)
