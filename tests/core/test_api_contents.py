"""What a session holds, as callers read and bring it: pages of events, messages, blobs."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.core import loading
from agentwire.errors import Conflict, InvalidParams, NotFound, Stopping
from agentwire.types import BlobRef, HistoryMessage, Image, Reasoning, Text, ToolCall, ToolResult
from tests.fakes.house import House, as_json, open_house
from tests.fakes.models import FakeModels, Say, waiting_model
from tests.wire.strategies import values

Clock = trio.testing.MockClock
NO_BLOB = BlobRef(blob="0" * 64, bytes=1, media="")
CONTENT = bytes(range(250)) * 2000
HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_pages_of_events(autojump_clock: trio.testing.MockClock) -> None:
    """Forward and backward pages together are the log; `more` tells whether there is more."""
    async with open_house(HELLO) as house:
        live = await house.create()
        await house.prompt(live, "hi")
        await house.idle(live)
        session = live.state.id
        forward = await house.ask("event/list", session=session, after=1, limit=2)
        assert [event["seq"] for event in forward["events"]] == [2, 3] and forward["more"]
        back = await house.ask("event/list", session=session, before=3, limit=5)
        assert [event["seq"] for event in back["events"]] == [1, 2] and not back["more"]
        with pytest.raises(InvalidParams):
            await house.call("event/list", session=session, before=3, after=1)


# --- messages --------------------------------------------------------------------------------------------------------------------

_WITHOUT_BLOBS = values(ToolResult).filter(lambda result: not any(isinstance(part, BlobRef | Image) for part in result.parts))
_PARTS = {"user": values(Text), "assistant": values(Text | Reasoning | ToolCall), "tool": _WITHOUT_BLOBS}


def of(role: Any) -> st.SearchStrategy[HistoryMessage]:
    parts = st.lists(_PARTS[role], min_size=1, max_size=3)
    return parts.map(lambda parts: HistoryMessage(role=role, parts=tuple(parts)))


MESSAGES = st.lists(st.one_of(*map(of, _PARTS)), min_size=1, max_size=6)


async def told(house: House, session: str, limit: int = 200) -> list[Any]:
    messages: list[Any] = []
    while len(messages) < (page := await house.ask("message/list", session=session, offset=len(messages), limit=limit))["total"]:
        messages += page["messages"]
    return messages


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"kind": "text", "text": text}]}


@settings(max_examples=50)
@given(messages=MESSAGES, cut=st.integers(0, 6), limit=st.integers(1, 3))
def test_what_is_added_is_listed(messages: list[HistoryMessage], cut: int, limit: int) -> None:
    """Messages of every role with every kind of part, in one request or two, however the list is paged; also after a replay."""

    async def main() -> None:
        async with open_house(HELLO) as house:
            live = await house.create()
            for some in (messages[:cut], messages[cut:]):
                if some:
                    answer = await house.ask("message/add", session=live.state.id, messages=as_json(some))
                    assert answer == {"seq": live.state.seq}
            assert await told(house, live.state.id, limit) == as_json(messages)
            replayed = await loading.load(house.store, live.state.id)
            assert replayed and replayed.state == live.state

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_page_of_messages_fits_a_frame(autojump_clock: Clock) -> None:
    """It ends before it grows long, but never without a message; beyond the end there is none."""
    async with open_house(HELLO) as house:
        session = (await house.create()).state.id
        for _ in range(3):
            await house.ask("message/add", session=session, messages=[user("x" * 900_000), user("y" * 900_000)])
        page = await house.ask("message/list", session=session)
        assert (len(page["messages"]), page["total"]) == (2, 6)
        assert len(await told(house, session)) == 6
        assert (await house.ask("message/list", session=session, offset=6))["messages"] == []


async def test_nothing_is_added_to_a_session_at_work(autojump_clock: Clock) -> None:
    """While a turn runs or an input waits; nor when the daemon stops."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        await house.prompt(live, "go")
        with pytest.raises(Conflict, match="at work"):
            await house.ask("message/add", session=live.state.id, messages=[user("x")])
        other = await house.create()
        house.sessions.stop()
        with pytest.raises(Stopping):
            await house.ask("message/add", session=other.state.id, messages=[user("x")])
        assert "message_added" not in [event.kind for event in house.events]


@pytest.mark.parametrize("steps", range(8))
async def test_no_turn_begins_inside(autojump_clock: Clock, steps: int) -> None:
    """A prompt that comes meanwhile waits: its message is behind those that are added, and its turn begins then."""
    async with open_house(HELLO) as house:
        live = await house.create()
        outcome: list[str] = []

        async def add() -> None:
            try:
                await house.ask("message/add", session=live.state.id, messages=[user("a"), user("b"), user("c")])
                outcome.append("added")
            except Conflict:
                outcome.append("refused")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            await house.prompt(live, "go")
        await house.idle(live)
        texts = [message["parts"][0]["text"] for message in await told(house, live.state.id)]
        assert texts == {"added": ["a", "b", "c", "go", "Hello"], "refused": ["go", "Hello"]}[outcome[0]]


async def test_two_who_add_at_once_take_turns(autojump_clock: Clock) -> None:
    """Each request's messages stay together; and whoever has seen the end of a turn need not wait for anything else."""
    async with open_house(HELLO) as house:
        live = await house.create()
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(partial(house.ask, "message/add", session=live.state.id, messages=[user(name), user(name)]))
        texts = [message["parts"][0]["text"] for message in await told(house, live.state.id)]
        assert texts[::2] == texts[1::2] and sorted(texts) == [*"aabbcc"]
        live.busy = True  # as when the task of a turn that has ended is about to end, too
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(house.ask, "message/add", session=live.state.id, messages=[user("d")]))
            await trio.testing.wait_all_tasks_blocked()
            house.sessions.release(live)
        assert len(live.state.messages) == 7 and not live.busy


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"role": "user", "parts": [{"kind": "reasoning", "text": "hm"}]}, InvalidParams),
        ({"role": "tool", "parts": [{"kind": "text", "text": "x"}]}, InvalidParams),
        ({"role": "user", "parts": []}, InvalidParams),
        ({"role": "system", "parts": [{"kind": "text", "text": "x"}]}, InvalidParams),
        (
            as_json(HistoryMessage(role="tool", parts=(ToolResult(call="c", parts=(BlobRef(blob="0" * 64, bytes=1, media=""),)),))),
            NotFound,
        ),
    ],
)
async def test_what_cannot_be_said_is_refused(autojump_clock: Clock, message: dict[str, Any], error: type[Exception]) -> None:
    """Misplaced parts and blobs that are not there; nothing of the request is written, and the session is free again."""
    async with open_house(HELLO) as house:
        live = await house.create()
        with pytest.raises(error):
            await house.ask("message/add", session=live.state.id, messages=[user("fine"), message])
        assert house.kinds(live) == ["session_created"] and not live.busy


async def test_messages_are_added_once_per_key(autojump_clock: Clock) -> None:
    """Asked again, also after others were added: the same answer."""
    async with open_house(HELLO) as house:
        session = (await house.create()).state.id
        first = await house.ask("message/add", session=session, messages=[user("a")], key="k")
        await house.ask("message/add", session=session, messages=[user("b")])
        assert await house.ask("message/add", session=session, messages=[user("a")], key="k") == first
        assert [message["parts"][0]["text"] for message in await told(house, session)] == ["a", "b"]


# --- blobs -----------------------------------------------------------------------------------------------------------------------


async def put(house: House, session: str, content: bytes, *, name: bytes = CONTENT, piece: int = 256 * 1024) -> None:
    blob = hashlib.sha256(name).hexdigest()
    for offset in range(0, len(content), piece):
        data = base64.b64encode(content[offset : offset + piece]).decode()
        await house.ask("blob/put", session=session, blob=blob, bytes=len(content), offset=offset, data=data)


async def test_a_blob_goes_in_and_out_in_pieces(autojump_clock: Clock) -> None:
    """It is there once it is whole, in its session alone, and messages may refer to it from then on."""
    blob = hashlib.sha256(CONTENT).hexdigest()
    async with open_house(HELLO) as house:
        session, other = [(await house.create()).state.id for _ in range(2)]
        await put(house, session, CONTENT)
        pieces = [await house.ask("blob/get", session=session, blob=blob, offset=offset) for offset in (0, 262_144)]
        assert b"".join(base64.b64decode(piece["data"]) for piece in pieces) == CONTENT
        assert {piece["bytes"] for piece in pieces} == {len(CONTENT)}
        with pytest.raises(NotFound):
            await house.ask("blob/get", session=other, blob=blob)
        reference = BlobRef(blob=blob, bytes=len(CONTENT), media="application/octet-stream")
        result = as_json(HistoryMessage(role="tool", parts=(ToolResult(call="c", parts=(reference,)),)))
        await house.ask("message/add", session=session, messages=[result])
        assert await told(house, session) == [result]
        with pytest.raises(NotFound, match="blob/put"):
            await house.ask("message/add", session=other, messages=[result])


async def test_a_blob_that_is_not_what_it_says_is_not_stored(autojump_clock: Clock) -> None:
    """Another content, what is no base64, or half of it."""
    blob = hashlib.sha256(CONTENT).hexdigest()
    async with open_house(HELLO) as house:
        session = (await house.create()).state.id
        with pytest.raises(InvalidParams, match="sha256"):
            await put(house, session, b"other")
        with pytest.raises(InvalidParams, match="base64"):
            await house.ask("blob/put", session=session, blob=blob, bytes=3, offset=0, data="?")
        first = base64.b64encode(CONTENT[:1000]).decode()
        assert await house.ask("blob/put", session=session, blob=blob, bytes=len(CONTENT), offset=0, data=first) == {
            "received": 1000
        }
        with pytest.raises(NotFound):
            await house.ask("blob/get", session=session, blob=blob)


@pytest.mark.parametrize("steps", range(8))
async def test_a_blob_for_a_session_that_is_deleted_at_that_moment(autojump_clock: Clock, steps: int) -> None:
    """It goes with it: no bytes are left, and nothing else is hurt."""
    async with open_house(HELLO) as house:
        live = await house.create()
        async with trio.open_nursery() as nursery:

            async def upload() -> None:
                try:
                    await put(house, live.state.id, b"content", name=b"content")
                except NotFound:
                    assert live.deleted

            nursery.start_soon(upload)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            await house.call("session/delete", session=live.state.id)
        assert house.store._writer.db.execute("SELECT count(*) FROM blob").get == 0
        await house.create()
