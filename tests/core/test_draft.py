"""The draft: what watchers see, what is saved, what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.draft import Draft
from agentd.ports import Cited, PartStart, PartText, Sealed, Spent, Stop, Waits
from agentwire.events import encode_body
from agentwire.types import Citation, Reasoning, Text, ToolCall, Usage

PIECES = st.lists(st.text(max_size=8), max_size=12)


@given(PIECES)
def test_deltas_put_together_are_the_text(pieces: list[str]) -> None:
    """A watcher that adds each text at its offset has the draft's text at every moment; offsets count code points."""
    draft, shown = Draft(1, 0), ""
    draft.feed([PartStart(0, "text")])
    for piece in pieces:
        event = draft.feed([PartText(0, piece)])
        assert event is not None
        (delta,) = event.parts
        assert delta.offset == len(shown)
        shown += delta.text
        assert draft.view.parts[0].text == shown


@given(PIECES, st.integers(min_value=0, max_value=12))
def test_saved_chunks_restore_the_draft(pieces: list[str], split: int) -> None:
    """Whenever it was saved, the chunks together give back what was saved, and nothing twice."""
    draft, chunks = Draft(2, 3), []
    draft.feed([PartStart(0, "reasoning"), PartStart(1, "text")])
    for number, piece in enumerate(pieces):
        draft.feed([PartText(number % 2, piece)])
        if number == split and (chunk := draft.take_unsaved()):
            chunks.append(chunk)
    if chunk := draft.take_unsaved():
        chunks.append(chunk)
    assert draft.take_unsaved() is None and draft.unsaved_size == 0
    again = Draft.restore(2, 3, chunks)
    assert {part.part: part.text for part in again.shown} == {
        part.part: part.text for part in draft.shown if part.part in again_parts(again)
    }
    assert again.take_unsaved() is None


def test_a_saved_draft_knows_whose_it_is() -> None:
    """Somebody will have to pay for it. Those of an earlier release do not know."""
    draft = Draft(1, 0)
    draft.model = "a/m"
    draft.feed([PartStart(0, "text"), PartText(0, "Half")])
    chunk = draft.take_unsaved() or b""
    again = Draft.restore(1, 0, [chunk])
    assert again.model == "a/m" and again.shown == draft.shown
    older = Draft.restore(1, 0, [chunk.replace(b',"a/m"', b"")])
    assert older.model == "" and older.shown == draft.shown


def again_parts(draft: Draft) -> set[int]:
    return {part.part for part in draft.shown}


def test_chunks_of_another_reply_are_ignored() -> None:
    """A draft row that outlived its reply does not leak into the next one."""
    draft = Draft(1, 0)
    draft.feed([PartStart(0, "text"), PartText(0, "old")])
    chunk = draft.take_unsaved()
    assert chunk is not None and Draft.restore(1, 1, [chunk]).shown == ()


def test_the_whole_reply_and_the_partial_one() -> None:
    """A whole reply has its calls with our ids in order; a partial one only what can stand alone; empty texts vanish."""
    draft = Draft(1, 0)
    draft.feed(
        [PartStart(0, "text"), PartStart(1, "text"), PartText(1, "Hi"), PartStart(2, "tool_call", "look"), Spent(Usage(input=3))]
    )
    draft.feed([Stop("tool_calls")])
    assert draft.reply("s-1-0") == (Text(text="Hi"), ToolCall(id="s-1-0-2", name="look", arguments_json="{}"))
    assert draft.partial() == (Text(text="Hi"),)
    assert draft.stop == "tool_calls" and draft.usage.input == 3


@pytest.mark.parametrize("character", ["x", "\0", "\U0001f600"])
def test_a_reply_fits_its_event_however_much_comes_at_once(character: str) -> None:
    """One read may bring more than an event can hold: the draft takes what fits and says that it is full."""
    draft = Draft(1, 0)
    event = draft.feed([PartStart(0, "text"), PartText(0, character * 2_000_000), PartText(0, "later")])
    assert event is not None and event.parts[0].text == draft.shown[0].text
    assert draft.full and len(draft.shown[0].text) > 100_000
    assert len(encode_body(draft.partial())) < 750 * 1024
    chunk = draft.take_unsaved()
    assert chunk is not None and Draft.restore(1, 0, [chunk]).partial() == draft.partial()


def test_a_reply_of_nothing_but_calls_is_bounded_too() -> None:
    """A hundred thousand empty calls, and names longer than any tool's, end as a full draft."""
    draft = Draft(1, 0)
    draft.feed([PartStart(number, "tool_call", "n" * 1000) for number in range(100_000)])
    assert draft.full and len(draft.shown) < 4000
    assert len(encode_body(draft.reply("s" * 32 + "-1-0"))) < 1024 * 1024


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"{}", b'[1,0,[[0,"song","","x"]]]', b'[1,0,[[0,"text","","\xff"]]]'])
def test_a_draft_ends_before_a_chunk_that_cannot_be_read(damaged: bytes) -> None:
    """Damaged, or saved by another release: what came before is kept, and a start never fails for it."""
    draft, chunks = Draft(1, 0), []
    draft.feed([PartStart(0, "text")])
    for piece in ("before", "after"):
        draft.feed([PartText(0, piece)])
        chunks.append(draft.take_unsaved() or b"")
    assert Draft.restore(1, 0, [chunks[0], damaged, chunks[1]]).partial() == (Text(text="before"),)


SEAL = {"provider": "p", "signature": "s"}
SOURCE = Citation(url="http://a.test/", title="A", quote="so it is")


def test_seals_and_citations_are_kept() -> None:
    """A thought keeps what its vendor wants back, also one without words; a citation is a part of its own, shown by its address."""
    draft = Draft(1, 0)
    draft.feed([PartStart(0, "reasoning"), PartText(0, "hm"), Sealed(0, SEAL), PartStart(1, "reasoning"), Sealed(1, SEAL)])
    event = draft.feed([PartStart(2, "text"), PartText(2, "yes"), Cited(3, SOURCE)])
    assert event is not None
    assert [(part.type, part.text, part.name) for part in event.parts] == [("text", "yes", ""), ("citation", "http://a.test/", "A")]
    assert draft.reply("c") == (Reasoning(text="hm", vendor=SEAL), Reasoning(text="", vendor=SEAL), Text(text="yes"), SOURCE)
    assert draft.partial() == (Reasoning(text="hm"), Text(text="yes"), SOURCE), "sealed thoughts go back with a whole reply only"


def test_a_saved_citation_has_its_address() -> None:
    """After a crash the quote is gone: it was not saved with the draft."""
    draft = Draft(1, 0)
    draft.feed([Cited(0, SOURCE)])
    chunk = draft.take_unsaved()
    assert chunk is not None
    assert Draft.restore(1, 0, [chunk]).reply("c") == (Citation(url="http://a.test/", title="A"),)


def test_seals_and_citations_have_no_more_room_than_text() -> None:
    """What does not fit is left out; the reply stays within its event."""
    draft = Draft(1, 0)
    draft.feed([PartStart(0, "reasoning"), PartText(0, "hm"), Sealed(0, {"provider": "p", "data": "x" * 800_000})])
    draft.feed([Cited(1, Citation(quote="x" * 800_000)), Sealed(7, SEAL)])
    assert draft.reply("c") == (Reasoning(text="hm"),)


def test_waiting_is_no_part_of_the_reply() -> None:
    """It is there to be told, and leaves nothing behind."""
    draft = Draft(1, 0)
    assert draft.feed([Waits(7.0, "a/x", "no")]) is None
    assert draft.waits == Waits(7.0, "a/x", "no")
    assert draft.reply("c") == () and draft.take_unsaved() is None
