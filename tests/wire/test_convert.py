"""The converter is strict: nothing is coerced, nothing unknown is dropped, and every complaint names its place."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from agentwire.convert import plain, structure, structure_body, structure_stored, upcast
from agentwire.errors import InvalidParams
from agentwire.events import PERSISTED, VERSION_OF, SessionRenamed, ToolFinished, encode_body
from agentwire.methods import CreateSession, Empty, GetBlob, Initialize, ListSessions, Prompt, Watch
from agentwire.types import BlobRef, Text, ToolCall

TEXT = {"kind": "text", "text": "x"}


@frozen(kw_only=True)
class Sample:
    """One field of each primitive."""

    text: str = ""
    count: int = 0
    ratio: float = 0.0
    flag: bool = False


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("text", 1, "params.text: expected a string, got 1"),
        ("text", None, "params.text: expected a string, got None"),
        ("text", ["x"], "params.text: expected a string, got ['x']"),
        ("count", "1", "params.count: expected a whole number, got '1'"),
        ("count", 1.0, "params.count: expected a whole number, got 1.0"),
        ("count", True, "params.count: expected a whole number, got True"),
        ("ratio", "0.5", "params.ratio: expected a number, got '0.5'"),
        ("ratio", False, "params.ratio: expected a number, got False"),
        ("flag", 1, "params.flag: expected true or false, got 1"),
        ("flag", "true", "params.flag: expected true or false, got 'true'"),
        ("text", {"a": "x" * 100}, "params.text: expected a string, got {'a': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."),
    ],
)
def test_nothing_is_coerced(field: str, value: object, complaint: str) -> None:
    """A value of another type is refused, however easily it could be converted; long ones are shown by their beginning."""
    with pytest.raises(InvalidParams) as caught:
        structure({field: value}, Sample)
    assert str(caught.value) == complaint


def test_whole_numbers_are_numbers() -> None:
    """JSON does not tell 1 from 1.0; both are fine where a number is wanted."""
    assert structure({"ratio": 1}, Sample).ratio == 1


@pytest.mark.parametrize(
    ("cls", "value", "complaint"),
    [
        (Prompt, {"parts": [TEXT]}, "params.session: is required"),
        (Prompt, {"session": "", "parts": [TEXT]}, "params.session: must not be empty"),
        (Prompt, {"session": "s", "parts": []}, "params.parts: must not be empty"),
        (Prompt, {"session": "s", "parts": "text"}, "params.parts: expected a list, got 'text'"),
        (Prompt, {"session": "s", "parts": {"0": TEXT}}, "params.parts: expected a list, got {'0': {'kind': 'text', 'text': 'x'}}"),
        (Prompt, {"session": "s", "parts": None}, "params.parts: expected a list, got None"),
        (Prompt, {"session": "s", "parts": ["x"]}, "params.parts[0]: expected an object"),
        (Prompt, {"session": "s", "parts": [TEXT, {"kind": "text"}]}, "params.parts[1].text: is required"),
        (
            Prompt,
            {"session": "s", "parts": [{"kind": "image", "text": "x"}]},
            (
                "params.parts[0].blob: is required; params.parts[0].bytes: is required; params.parts[0].media: is required; "
                "params.parts[0].text: there is no such field"
            ),
        ),
        (
            Prompt,
            {"session": "s", "parts": [{"kind": "tool_call", "text": "x"}]},
            "params.parts[0]: is of no known kind",
        ),
        (
            Prompt,
            {"session": "s", "parts": [TEXT], "delivery": "foo"},
            "params.delivery: expected one of 'queue', 'steer', 'interrupt', got 'foo'",
        ),
        (
            Prompt,
            {"session": "s", "parts": [TEXT], "delivery": []},
            "params.delivery: expected one of 'queue', 'steer', 'interrupt', got []",
        ),
        (Prompt, {"session": "s", "parts": [TEXT], "max_steps": 10_001}, "params.max_steps: expected at most 10000, got 10001"),
        (Prompt, {"session": "s", "parts": [TEXT], "key": "k" * 201}, "params.key: expected at most 200 characters, got 201"),
        (CreateSession, {"cwd": "relative"}, "params.cwd: expected text that matches /.*, got 'relative'"),
        (CreateSession, {"cwd": "/", "environment": []}, "params.environment: expected an object, got []"),
        (CreateSession, {"cwd": "/", "environment": {"A": 1}}, "params.environment['A']: expected a string, got 1"),
        (GetBlob, {"session": "s", "blob": "zz"}, "params.blob: expected text that matches [0-9a-f]{64}, got 'zz'"),
        (ListSessions, {"limit": 0}, "params.limit: expected at least 1, got 0"),
        (Watch, {"session": "s", "after": "x"}, "params.after: expected a whole number, got 'x'"),
        (Watch, {"session": "s", "after": -1}, "params.after: expected at least 0, got -1"),
        (Initialize, {"protocol": None}, "params.protocol: expected a whole number, got None"),
        (Empty, {"b": 1, "a": 1}, "params.a: there is no such field; params.b: there is no such field"),
        (Empty, [], "params: expected an object, got []"),
        (Empty, None, "params: expected an object, got None"),
    ],
)
def test_complaints_name_place_and_expectation(cls: type[Any], value: object, complaint: str) -> None:
    """The path as a client would write it, what was expected there, what was found."""
    with pytest.raises(InvalidParams) as caught:
        structure(value, cls)
    assert str(caught.value) == complaint


def test_every_wrong_field_is_named_at_once() -> None:
    """One round trip is enough to learn of all of them."""
    with pytest.raises(InvalidParams) as caught:
        structure({"session": 1, "parts": [TEXT, {"kind": "text", "text": 2}], "extra": 0}, Prompt)
    assert str(caught.value).split("; ") == [
        "params.session: expected a string, got 1",
        "params.parts[1].text: expected a string, got 2",
        "params.extra: there is no such field",
    ]


def test_five_complaints_say_enough() -> None:
    """A client that sends a thousand wrong things gets one readable sentence."""
    with pytest.raises(InvalidParams) as caught:
        structure({f"k{number}": 1 for number in range(1000)}, Empty)
    assert str(caught.value).count("there is no such field") == 5
    assert str(caught.value).endswith("; and more")


@pytest.mark.parametrize(
    ("cls", "value"),
    [
        (Empty, {str(number): 1 for number in range(10_001)}),
        (Prompt, {"session": "a", "parts": [1] * 10_001}),
        (Initialize, {"protocol": 1, "environment": {str(number): 1 for number in range(10_001)}}),
    ],
)
def test_collections_are_bounded(cls: type[Any], value: object) -> None:
    """More items than anybody sends are refused unseen: to explain each would take a while, for everybody."""
    with pytest.raises(InvalidParams, match="at most 10000 items, got 10001"):
        structure(value, cls)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_whole_numbers_fit_the_store(number: int) -> None:
    """A number that SQLite cannot hold is the client's mistake, not a bug."""
    with pytest.raises(InvalidParams, match="whole number of at most 63 bits"):
        structure({"session": "a", "after": number}, Watch)


@pytest.mark.parametrize("part", [{"kind": "video"}, {}])
def test_part_of_no_known_kind(part: dict[str, object]) -> None:
    """A union is told apart by `kind`; another word in it is named as the mistake."""
    value = {"turn": 1, "call": "c", "outcome": "ok", "parts": [part]}
    with pytest.raises(InvalidParams, match=r"params\.parts\[0\]: is of no known kind"):
        structure(value, ToolFinished)


def test_part_whose_kind_is_no_word() -> None:
    """What the union cannot even look up is refused like the rest."""
    value = {"turn": 1, "call": "c", "outcome": "ok", "parts": [{"kind": []}]}
    with pytest.raises(InvalidParams, match=r"params\.parts\[0\]: is not valid"):
        structure(value, ToolFinished)


@pytest.mark.parametrize("part", [Text(text="x"), BlobRef(blob="b", bytes=1, media="m")])
def test_unions_are_told_apart(part: Text | BlobRef) -> None:
    """Each member of a union comes back as its own class."""
    event = ToolFinished(turn=1, call="c", outcome="ok", parts=(part,))
    assert structure(plain(event), ToolFinished) == event


def test_stored_values_are_as_strict() -> None:
    """A snapshot of another shape is refused, not bent: who loads it falls back to the log."""
    call = ToolCall(id="1", name="n", arguments_json="{}")
    assert structure_stored(encode_body(call), ToolCall) == call
    wrong: Any
    for wrong in ({"id": 1, "name": "n", "arguments_json": "{}"}, {**plain(call), "more": 1}, {"id": "1"}, []):
        with pytest.raises(Exception, match=r".+"):
            structure_stored(encode_body(wrong), ToolCall)


def test_bodies_load_from_bytes_and_mappings() -> None:
    """The store has bytes, a client that got an event has its data."""
    assert structure_body("session_renamed", 1, b'{"title":"t"}') == SessionRenamed(title="t")
    assert structure_body("session_renamed", 1, {"title": "t"}) == SessionRenamed(title="t")


@pytest.mark.parametrize("kind", sorted(VERSION_OF))
def test_versions_of_the_future_are_refused(kind: str) -> None:
    """A row that a newer release wrote is an error that says so, not a guess."""
    assert upcast(kind, VERSION_OF[kind], {"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match=f"event {kind} has version 99, which this release does not know"):
        upcast(kind, 99, {})


def test_kinds_are_all_versioned() -> None:
    """Nothing is stored without a version."""
    assert len(VERSION_OF) == len(PERSISTED)
