"""What is kept of histories: whatever becomes of one between two requests, its bytes are those that are made from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Message
from agentd.providers import kept
from agentd.providers.kept import EncodedHistories
from agentwire.types import Image, Text


def encoded(message: Message, blobs: Mapping[str, bytes]) -> bytes:
    """As plain as an encoding can be that depends on all that it may."""
    return b",%r%r" % (
        message.role.encode(),
        [part.text if isinstance(part, Text) else _seen(part, blobs) for part in message.parts],
    )


def _seen(part: object, blobs: Mapping[str, bytes]) -> bytes | None:
    return blobs.get(part.blob) if isinstance(part, Image) else None


def afresh(messages: list[Message], blobs: Mapping[str, bytes]) -> bytes:
    return b"".join([encoded(message, blobs) for message in messages])


CONTENTS = {name * 64: name.encode() for name in "abc"}

texts = st.builds(Text, text=st.text(max_size=8) | st.integers(0, 40_000).map("x".__mul__))
images = st.builds(Image, blob=st.sampled_from(sorted(CONTENTS)), bytes=st.just(1), media=st.just("image/png"))
messages = st.one_of(
    st.builds(Message, st.just("user"), st.lists(texts | images, max_size=2).map(tuple)),
    st.builds(Message, st.just("assistant"), st.lists(texts, max_size=2).map(tuple)),
)
changes = st.one_of(
    st.tuples(st.just("add"), st.lists(messages, min_size=1, max_size=4)),
    st.tuples(st.just("replace"), messages),
    st.tuples(st.just("cut the front"), st.integers(1, 5)),
    st.tuples(st.just("cut the end"), st.integers(1, 5)),
    st.tuples(st.just("load again"), st.none()),
    st.tuples(st.just("other session"), st.none()),
    st.tuples(st.just("other contents"), st.sets(st.sampled_from(sorted(CONTENTS)))),
)


def changed(history: list[Message], change: str, value: Any) -> list[Message]:
    match change:
        case "add":
            return [*history, *value]
        case "replace":
            return [*history[:-1], value]
        case "cut the front":
            return history[value:]
        case "cut the end":
            return history[:-value]
        case "load again":
            return [Message(message.role, message.parts) for message in history]
        case _:
            return list(history)


@given(st.lists(st.tuples(changes, st.integers(0, 3)), min_size=1, max_size=12))
def test_what_was_kept_changes_no_byte(steps: list[tuple[tuple[str, Any], int]]) -> None:
    """Also of images, whose contents are now at hand and now are not; however many of the last messages stand apart."""
    histories, session, blobs = EncodedHistories(encoded), "a", CONTENTS
    said: dict[str, list[Message]] = {"a": [], "b": []}
    for (change, value), wanted in steps:
        if change == "other session":
            session = "b" if session == "a" else "a"
        if change == "other contents":
            blobs = {name: CONTENTS[name] for name in value}
        said[session] = changed(said[session], change, value)
        apart = min(wanted, len(said[session]))
        blocks = histories.blocks(session, said[session], blobs, apart=apart)
        assert b"".join(blocks) == afresh(said[session], blobs)
        assert blocks[len(blocks) - apart :] == [encoded(message, blobs) for message in said[session][len(said[session]) - apart :]]


def long(count: int, text: str = "x" * 1000) -> list[Message]:
    return [Message("user", (Text(text=f"{number} {text}"),)) for number in range(count)]


def test_a_block_is_encoded_once() -> None:
    """A longer history begins with the same blocks, the very same bytes objects; a list changed in place is looked at again."""
    histories, history = EncodedHistories(encoded), long(200)
    first = histories.blocks("s", history, {})
    history += long(3)
    second = histories.blocks("s", history, {})
    whole = [block for block in second if len(block) >= 64 * 1024]
    assert len(whole) >= 3
    assert all(any(block is other for other in first) for block in whole)
    history[0] = Message("user", (Text(text="other"),))
    assert b"".join(histories.blocks("s", history, {})) == afresh(history, {})


def test_only_what_is_new_is_encoded() -> None:
    """Also behind images, and in a history that was loaded again; of one whose images went, what is behind the first of them."""
    fresh: list[Message] = []

    def encode(message: Message, blobs: Mapping[str, bytes]) -> bytes:
        fresh.append(message)
        return encoded(message, blobs)

    histories, history = EncodedHistories(encode), long(70)
    history[66] = Message("user", (Image(blob="a" * 64, bytes=1, media="image/png"),))
    for blobs, apart, expected in ((CONTENTS, 0, 70), (CONTENTS, 2, 2), (CONTENTS, 0, 2), ({}, 1, 10), ({}, 5, 2)):
        history = [Message(message.role, message.parts) for message in history]
        fresh.clear()
        assert b"".join(histories.blocks("s", history, blobs, apart=apart)) == afresh(history, blobs)
        assert fresh == history[len(history) - expected :]
        history += long(2)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session used longest ago makes room; one larger than all the room is not kept, nor one without a name."""
    monkeypatch.setattr(kept, "_KEPT", 300_000)
    histories = EncodedHistories(encoded)
    said = {name: long(140) for name in "abcd"}
    blocks = {name: histories.blocks(name, history, {}) for name, history in said.items()}
    histories.blocks("huge", long(400), {})
    histories.blocks("", long(1), {})

    def same(name: str) -> bool:
        return histories.blocks(name, said[name], {})[1] is blocks[name][1]

    assert [same(name) for name in "dcba"] == [True, True, False, False]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 66, 130])
def test_sizes_around_a_block(count: int) -> None:
    """Also with nothing said yet."""
    histories = EncodedHistories(encoded)
    for length in (count, count + 1, count):
        history = long(length)
        assert b"".join(histories.blocks("s", history, {})) == afresh(history, {})
