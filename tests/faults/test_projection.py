"""An event that is in the log and cannot be applied: the session stands still, everything else goes on, the next start is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from agentd.core.state import SessionState
from agentwire.errors import InternalError
from agentwire.events import Event
from tests.faults.life import Life
from tests.faults.vfs import faulty

pytestmark = pytest.mark.slow

LAST = 16
"""Events of the session when its turn is done."""


def explode_at(number: int) -> Callable[[SessionState, Event], None]:
    """SessionState.apply with a bug that shows at this event of the first session, before or after it has changed something."""
    apply, ids = SessionState.apply, list[str]()

    def explosive(state: SessionState, event: Event) -> None:
        ids.append(state.id)
        if state.id == ids[0] and event.seq == number and number % 2:
            raise ZeroDivisionError
        apply(state, event)
        if state.id == ids[0] and event.seq == number:
            raise ZeroDivisionError

    return explosive


async def until_broken(life: Life) -> None:
    """A boot in which the session breaks, and another one is at work all the same."""
    async with life.boot() as house:
        live = await house.create()
        other = await house.create()
        await house.prompt(live, "look at three things")
        while not live.broken or live.busy:
            await live.changed()
        with pytest.raises(InternalError, match="restarted"):
            await house.prompt(live, "go on")
        await house.prompt(other, "look at three things")
        await house.idle(other)
        assert house.kinds(other)[-1] == "turn_finished"
        await house.call("session/delete", session=other.state.id)


@pytest.mark.parametrize("number", range(2, LAST + 1))
def test_session_whose_state_broke_is_alone_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whichever event it is: nothing more is decided or written on that state, and the next start ends the turn as any other."""
    life = Life(str(tmp_path / "agentd.db"))
    with faulty():
        with monkeypatch.context() as patch:
            patch.setattr(SessionState, "apply", explode_at(number))
            trio.run(until_broken, life)
        life.promised[:] = [event for event in life.promised if event.stream == life.promised[0].stream]  # the other is deleted
        trio.run(life.come_to_rest)
