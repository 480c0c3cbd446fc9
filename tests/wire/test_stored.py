"""The fast reader and the strict converter never disagree about what we wrote, nor about what somebody damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from agentwire.convert import structure_body, structure_stored
from agentwire.events import CLASS_OF, KIND_OF, PERSISTED, VERSION_OF, AssistantMessage, encode_body
from agentwire.stored import read
from agentwire.types import BlobRef, Part, ReplyPart, Text, ToolCall, ToolResult, Usage
from tests.wire.strategies import values

V1 = [json.loads(line) for line in (Path(__file__).parent / "fixtures" / "events-v1.jsonl").read_text().splitlines()]


@define
class Inner:
    """`_length` is worked out when it is made, and not written."""

    part: Part | None = None
    number: int = 0
    _length: int = field(init=False, eq=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._length = len(repr(self.part))

    @property
    def length(self) -> int:
        return self._length


@define
class Snapshot:
    """Every place in which a union can be."""

    name: str
    parts: list[Part] = Factory(list)
    named: dict[str, Text | BlobRef] = Factory(dict)
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    usage: Usage = Usage()


def outcome(kind: str, data: Any) -> Any:
    """The body, or None if it was refused."""
    try:
        return structure_body(kind, VERSION_OF[kind], data)
    except Exception:  # noqa: BLE001 - which error is not the question here
        return None


@pytest.mark.parametrize("cls", PERSISTED, ids=lambda cls: KIND_OF[cls])
def test_what_we_write_is_read_fast(cls: type[Any]) -> None:
    """Every value of every kind comes back from its bytes, as the strict converter has it, and without its help."""

    @settings(max_examples=25)
    @given(values(cls))
    def check(body: Any) -> None:
        data = encode_body(body)
        assert read(data, cls) == body == structure_body(KIND_OF[cls], VERSION_OF[KIND_OF[cls]], json.loads(data))

    check()


@pytest.mark.parametrize("row", V1, ids=lambda row: row["kind"])
def test_rows_of_version_1(row: dict[str, Any]) -> None:
    """Also those in which a later release's fields are missing."""
    assert outcome(row["kind"], json.dumps(row["data"]).encode()) == outcome(row["kind"], row["data"]) is not None


@given(st.sampled_from(PERSISTED).flatmap(values), st.data())
def test_damage_is_judged_alike(body: Any, data: st.DataObject) -> None:
    """Bytes changed, taken out or put in anywhere: refused by both readers, or read as the same value by both."""
    kind = KIND_OF[type(body)]
    whole = encode_body(body)
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[data.draw(st.integers(at, min(len(whole), at + 3))) :]
    try:
        value = json.loads(damaged, parse_constant=lambda word: object())
    except (ValueError, RecursionError):
        assert outcome(kind, damaged) is None
    else:
        assert outcome(kind, damaged) == (outcome(kind, value) if isinstance(value, dict) else None)


TEXT = {"kind": "text", "text": "x"}
REPLY = {"turn": 1, "step": 0, "model": "m", "parts": [TEXT], "stop": "end", "usage": {}}


@pytest.mark.parametrize(
    "wrong",
    [
        {**REPLY, "turn": "1"},
        {**REPLY, "more": 1},
        {**REPLY, "stop": "never"},
        {**REPLY, "usage": {"input": 1.5}},
        {**REPLY, "usage": {"inputs": 1}},
        {**REPLY, "parts": [{"kind": "picture"}]},
        {**REPLY, "parts": [{"kind": []}]},
        {**REPLY, "parts": [{**TEXT, "more": 1}]},
        {**REPLY, "parts": [{"text": "x"}]},
        {key: value for key, value in REPLY.items() if key != "step"},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    """The fast reader does not take them, and the strict one says what is wrong."""
    data = json.dumps(wrong, separators=(",", ":")).encode()
    assert read(data, AssistantMessage) is None
    with pytest.raises(Exception, match=r".+"):
        structure_body("assistant_message", 1, data)


@settings(max_examples=50)
@given(values(Snapshot))
def test_unions_at_any_depth(snapshot: Snapshot) -> None:
    """In lists, objects, optional fields and classes within classes; defaults and mutable containers are each value's own."""
    again = read(encode_body(snapshot), Snapshot)
    assert again == snapshot
    assert structure_stored(encode_body(snapshot), Snapshot) == snapshot
    assert [inner.length for inner in again.many] == [inner.length for inner in snapshot.many]
    again.parts.append(Text(text="new"))
    assert structure_stored(b'{"name":"x"}', Snapshot) == Snapshot("x")


def test_members_of_unions_are_their_own_classes() -> None:
    """Told apart by `kind`, also where their fields are the same."""
    parts: tuple[ReplyPart, ...] = (Text(text="a"), ToolCall(id="c", name="n", arguments_json="{}"))
    body = AssistantMessage(turn=1, step=0, model="m", parts=parts, stop="end", usage=Usage())
    assert read(encode_body(body), AssistantMessage) == body
    result = ToolResult(call="c", parts=(BlobRef(blob="b", bytes=1, media="m"),))
    assert read(encode_body(result), ToolResult) == result


def test_every_kind_has_a_reader() -> None:
    """No annotation is too much for it; what is no JSON is nobody's value."""
    for kind, cls in CLASS_OF.items():
        assert read(b"{", cls) is None, kind
