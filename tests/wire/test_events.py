"""No event is undecided, none changes on its way through the log, and what version 1 wrote loads for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentwire import events
from agentwire.codec import FrameReader, decode
from agentwire.convert import structure_body
from agentwire.events import (
    CLASS_OF,
    KIND_OF,
    PERSISTED,
    TRANSIENT,
    VERSION_OF,
    Event,
    encode_body,
    encode_event,
    encode_transient,
    event_frame,
)
from tests.wire.strategies import values

HELPERS = {events.DraftPartDelta, events.Event}
"""The classes of the module that are no events: a part of one, and the envelope."""

V1 = [json.loads(line) for line in (Path(__file__).parent / "fixtures" / "events-v1.jsonl").read_text().splitlines()]


def as_json(body: object) -> Any:
    return json.loads(encode_body(body))


def test_every_class_is_decided() -> None:
    """A new class is put into exactly one of the tables, or listed as a helper here."""
    defined = {cls for cls in vars(events).values() if isinstance(cls, type) and cls.__module__ == events.__name__}
    assert defined == {*PERSISTED, *TRANSIENT, *HELPERS}
    assert len(PERSISTED) + len(TRANSIENT) + len(HELPERS) == len(defined)


def test_kinds_are_the_snake_case_of_their_class() -> None:
    """As architecture has it; and back."""
    assert KIND_OF[events.TurnStarted] == "turn_started"
    assert KIND_OF[events.Delta] == "delta"
    assert {kind: cls for cls, kind in KIND_OF.items()} == CLASS_OF
    assert set(VERSION_OF) == {KIND_OF[cls] for cls in PERSISTED}


@pytest.mark.parametrize("cls", PERSISTED, ids=lambda cls: KIND_OF[cls])
def test_persisted_events_round_trip(cls: type[Any]) -> None:
    """What is stored is what is read, for every value."""

    @settings(max_examples=25)
    @given(values(cls))
    def check(body: Any) -> None:
        assert structure_body(KIND_OF[cls], VERSION_OF[KIND_OF[cls]], encode_body(body)) == body

    check()


@pytest.mark.parametrize("row", V1, ids=lambda row: row["kind"])
def test_version_1_loads_for_ever(row: dict[str, Any]) -> None:
    """Rows of the first release are read by every later one. Add lines to the fixture, never change one."""
    body = structure_body(row["kind"], 1, json.dumps(row["data"]).encode())
    assert type(body) is CLASS_OF[row["kind"]]
    if VERSION_OF[row["kind"]] == 1:
        assert _has(as_json(body), row["data"]), "a later field has a default"


def _has(new: Any, old: Any) -> bool:
    """All of `old`, in objects inside of it too."""
    if isinstance(new, dict) and isinstance(old, dict):
        return all(name in new and _has(new[name], value) for name, value in old.items())
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_has, new, old))
    return bool(new == old)


def test_version_1_fixture_is_complete() -> None:
    """Every kind of version 1 has its line."""
    assert {row["kind"] for row in V1} >= {kind for kind, version in VERSION_OF.items() if version == 1}


envelopes = st.builds(
    lambda name, body: Event(
        pos=7,
        stream=name,
        seq=3,
        user="local",
        at=1234.5678,
        kind=KIND_OF[type(body)],
        version=1,
        body=body,
        data=encode_body(body),
    ),
    st.text("0123456789abcdef", min_size=32, max_size=32),
    values(events.SessionCreated) | values(events.AssistantMessage),
)


@settings(max_examples=25)
@given(envelopes)
def test_event_on_the_wire(event: Event) -> None:
    """One frame of JSON-RPC whose params are the envelope with the stored body; milliseconds are kept."""
    (line,) = FrameReader().feed(event_frame(encode_event(event)))
    assert isinstance(line, bytes)
    assert decode(line) == {
        "jsonrpc": "2.0",
        "method": "event",
        "params": {
            "stream": event.stream,
            "seq": 3,
            "pos": 7,
            "at": 1234.568,
            "kind": event.kind,
            "version": 1,
            "data": as_json(event.body),
        },
    }


@pytest.mark.parametrize("cls", TRANSIENT, ids=lambda cls: KIND_OF[cls])
def test_transient_events_on_the_wire(cls: type[Any]) -> None:
    """They have a stream, a kind and data: no seq, no pos, no version."""

    @settings(max_examples=25)
    @given(values(cls))
    def check(body: Any) -> None:
        assert json.loads(encode_transient("s", body)) == {"stream": "s", "kind": KIND_OF[cls], "data": as_json(body)}

    check()


def test_undecided_class_cannot_be_encoded() -> None:
    """What is in no table never reaches a client."""
    with pytest.raises(KeyError):
        encode_transient("s", events.DraftPartDelta(part=0, type="text", offset=0, text=""))
