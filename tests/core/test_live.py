"""A loaded session: who may answer, what a watcher is shown, who is woken, and when drafts are saved."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from attrs import Factory, define

from agentd.core.draft import Draft
from agentd.core.live import DraftSaver, Live
from agentd.ports import PartStart, PartText
from agentwire.types import DraftPart, DraftView, PendingApproval
from tests.core.logs import accepted, asked, begun, created, ended, planned, replied, started, state_of

Clock = trio.testing.MockClock


def live_of(*bodies: Any) -> Live:
    return Live.of(state_of(created(), *bodies))


def streaming(live: Live, text: str = "", *, turn: int = 1) -> Draft:
    """The session's draft, with `text` streamed."""
    draft = live.draft = Draft(turn, 0)
    draft.feed([PartStart(0, "text")])
    if text:
        draft.feed([PartText(0, text)])
    return draft


# --- answers ---------------------------------------------------------------------------------------------------------------------


async def test_first_answer_wins() -> None:
    """Decided before anything is written; each call for itself; a write that failed gives the next one its chance."""
    live = live_of()
    assert live.reserve_answer("c1", "ann") and live.reserve_answer("c2", "bob")
    assert not live.reserve_answer("c1", "bob")
    live.release_answer("c1")
    assert live.reserve_answer("c1", "bob") and not live.reserve_answer("c2", "ann")


# --- views -----------------------------------------------------------------------------------------------------------------------


async def test_view_of_an_idle_session() -> None:
    """Nothing runs, nothing waits, nothing is streamed."""
    view = live_of().view
    assert (view.turn, view.queue, view.approvals, view.draft) == (None, (), (), None)
    assert view.info.id == "s" and view.info.status == "idle"


async def test_view_of_a_session_at_work() -> None:
    """The running turn, the inputs that wait, the questions still open (not the answered or finished ones), the draft."""
    calls = ("open", "done")
    live = live_of(
        accepted(1),
        started(),
        replied("", calls=calls, stop="tool_calls"),
        *(planned(call) for call in calls),
        *(asked(call) for call in calls),
        begun("done"),
        ended("done"),
        accepted(2, "next"),
    )
    streaming(live, "so far")
    view = live.view
    assert view.turn == 1 and [queued.input for queued in view.queue] == [2]
    assert view.approvals == (PendingApproval(call="open", name="look", arguments_json="{}", arguments_hash="h", expires_at=100.0),)
    assert view.draft == DraftView(turn=1, step=0, parts=(DraftPart(part=0, type="text", text="so far"),))


async def test_inputs_are_numbered_on_from_the_log() -> None:
    """Also when the session was loaded from the file."""
    assert live_of(accepted(1), accepted(2)).inputs == 2


async def test_events_of_a_session_carry_its_stream_and_owner() -> None:
    """What a turn appends belongs to the session's user, whoever asked."""
    body = started()
    (new,) = live_of().new([body])
    assert (new.stream, new.user, new.body) == ("s", "ann", body)


# --- waking and cancelling -------------------------------------------------------------------------------------------------------


async def test_all_who_wait_are_woken_by_one_change(autojump_clock: Clock) -> None:
    """Those who waited, once; those who wait afterwards wait for the next."""
    live = live_of()
    woken = 0

    async def wait() -> None:
        nonlocal woken
        await live.changed()
        woken += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        live.notify()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == 3
        with trio.move_on_after(1) as patience:
            await live.changed()
        assert patience.cancelled_caught


async def test_cancel_reaches_the_turn_now_or_when_it_begins(autojump_clock: Clock) -> None:
    """A running turn's scope is cancelled; without one the request is kept for the turn that is about to run."""
    live = live_of()
    live.cancel()
    assert live.cancel_requested
    with trio.CancelScope() as live.scope:
        live.cancel()
        await trio.lowlevel.checkpoint()
    assert live.scope.cancelled_caught


# --- drafts are saved ------------------------------------------------------------------------------------------------------------


@define
class Drafts:
    """The one method of ports.Store that the saver uses: when which stream was saved, and how much."""

    saved: list[tuple[float, str, str]] = Factory(list)

    def save_draft(self, stream: str, chunk: bytes) -> None:
        draft = Draft.restore(1, 0, [chunk])
        self.saved.append((trio.current_time(), stream, "".join(part.text for part in draft.shown)))


@pytest.fixture
def drafts() -> Drafts:
    return Drafts()


async def run(drafts: Drafts, script: Callable[[DraftSaver], Any]) -> None:
    saver = DraftSaver(drafts)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saver.run)
        await script(saver)
        nursery.cancel_scope.cancel()


async def test_text_is_saved_four_times_a_second(autojump_clock: Clock, drafts: Drafts) -> None:
    """Only what is new since the last time, at most 250 ms after it came; nothing while nothing streams."""
    live = live_of()

    async def stream(saver: DraftSaver) -> None:
        draft = streaming(live)
        for number in range(10):
            draft.feed([PartText(0, str(number))])
            saver.touch(live)
            await trio.sleep(0.1)
        await trio.sleep(60)

    await run(drafts, stream)
    assert "".join(text for _, _, text in drafts.saved) == "0123456789"
    times = [at for at, _, _ in drafts.saved]
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(times)) and times[-1] < 1.25
    assert len(times) == 4


async def test_all_sessions_are_saved_together(autojump_clock: Clock, drafts: Drafts) -> None:
    """One commit for all of them, each with its own text."""
    lives = [live_of() for _ in range(3)]
    for number, live in enumerate(lives):
        live.state.id = f"s{number}"

    async def stream(saver: DraftSaver) -> None:
        for live in lives:
            streaming(live, live.state.id)
            saver.touch(live)
            await trio.sleep(0.05)
        await trio.sleep(1)

    await run(drafts, stream)
    assert drafts.saved == [(0.25, f"s{number}", f"s{number}") for number in range(3)]


async def test_much_text_is_saved_at_once(autojump_clock: Clock, drafts: Drafts) -> None:
    """4 KiB do not wait for the quarter second, and are not saved again by it."""
    live = live_of()

    async def stream(saver: DraftSaver) -> None:
        streaming(live, "x" * 4096)
        saver.touch(live)
        await trio.sleep(1)

    await run(drafts, stream)
    assert drafts.saved == [(0.0, "s", "x" * 4096)]


async def test_reply_that_has_ended_is_not_saved_any_more(autojump_clock: Clock, drafts: Drafts) -> None:
    """The message holds it; a draft of a later reply is saved for itself."""
    live = live_of()

    async def stream(saver: DraftSaver) -> None:
        streaming(live, "gone")
        saver.touch(live)
        live.draft = None
        await trio.sleep(1)
        streaming(live, "next")
        saver.touch(live)
        await trio.sleep(1)

    await run(drafts, stream)
    assert [text for _, _, text in drafts.saved] == ["next"]
