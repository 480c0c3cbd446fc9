"""A JSON-RPC session over a memory transport: handshake, errors, and watches that miss nothing and repeat nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.api import Caller
from agentd.core.live import Live
from agentd.ports import Prompt
from agentd.rpc import _PAGE, MAX_BYTES, MAX_FRAMES, Hello, Session
from agentwire.codec import Oversized
from agentwire.environment import differing
from agentwire.events import Event
from tests.fakes.house import OWNER, House, open_house
from tests.fakes.models import FakeModels, Reply, Say
from tests.fakes.outlet import MemoryOutlet

GREETING = {"protocol": 1, "client": "test"}
HELLO = FakeModels(lambda prompt: Say(["He", "llo"]))


@define
class Peer:
    """A client: `call` gives the reply's result or error, `heard` the events since the last time, as (kind, seq)."""

    session: Session
    outlet: MemoryOutlet
    nursery: trio.Nursery
    prompted: list[None]
    _number: int = 0
    events: list[dict[str, Any]] = Factory(list)

    async def send(self, frame: object) -> list[dict[str, Any]]:
        """What comes back at once for a frame given as JSON value or bytes; events aside."""
        await self.session.handle(frame if isinstance(frame, bytes) else msgspec.json.encode(frame))
        return self._replies()

    async def call(self, method: str, **params: object) -> Any:
        self._number += 1
        replies = await self.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert [reply["id"] for reply in replies] == [self._number]
        return replies[0].get("result", replies[0].get("error"))

    def heard(self) -> list[tuple[str, int | None]]:
        assert self._replies() == []
        events, self.events = self.events, []
        return [(event["kind"], event.get("seq")) for event in events]

    def _replies(self) -> list[dict[str, Any]]:
        frames = self.outlet.take()
        self.events += [frame["params"] for frame in frames if frame.get("method") == "event"]
        return [frame for frame in frames if "method" not in frame]


@asynccontextmanager
async def connected(house: House, *, caller: Caller = OWNER, greet: bool = True) -> AsyncIterator[Peer]:
    """A connection; leaving the scope hangs up."""
    prompted: list[None] = []
    hello = Hello(
        version="1.2.3",
        pid=42,
        boot="boot",
        model="fake/model",
        environment={"OPENAI_API_KEY": "ours"},
        notice=lambda: "a notice",
        prompting=lambda: prompted.append(None),
    )
    async with trio.open_nursery() as nursery:
        outlet = MemoryOutlet()
        session = Session(house.api, house.bus, house.store, caller, hello, outlet, nursery)
        peer = Peer(session, outlet, nursery, prompted)
        if greet:
            await peer.call("initialize", **GREETING)
        yield peer
        session.close()
        nursery.cancel_scope.cancel()


def numbered(*seqs: int, kind: str = "session_renamed") -> list[tuple[str, int]]:
    return [(kind, seq) for seq in seqs]


async def rename(house: House, live: Live, times: int = 1) -> None:
    for _ in range(times):
        await house.call("session/rename", session=live.state.id, title="new")


def forget(house: House, monkeypatch: pytest.MonkeyPatch, keep: Callable[[int], bool]) -> None:
    """Some events are not in the log any more."""
    through = house.store.read

    async def read(stream: str, *, after: int, limit: int) -> Sequence[Event]:
        return [event for event in await through(stream, after=after, limit=1000) if keep(event.seq)][:limit]

    monkeypatch.setattr(house.store, "read", read)


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


# --- handshake --------------------------------------------------------------------------------------------------------------------


async def test_handshake_tells_who_answers(autojump_clock: trio.testing.MockClock) -> None:
    """Version, pid, boot, user, model, a notice, and which configuration variables differ; their values never leave the client."""
    async with open_house(HELLO) as house, connected(house, greet=False) as peer:
        theirs = {"OPENAI_API_KEY": "another"}
        environment = dict.fromkeys(theirs, "0" * 16)
        answer = await peer.call("initialize", **GREETING, salt="salt", environment=environment)
        assert answer == {
            "protocol": 1,
            "version": "1.2.3",
            "pid": 42,
            "boot": "boot",
            "user": "local",
            "model": "fake/model",
            "environment_differs": list(differing(environment, {"OPENAI_API_KEY": "ours"}, "salt")),
            "notice": "a notice",
        }
        assert answer["environment_differs"] == ["OPENAI_API_KEY"] and not peer.session.closing


async def test_only_a_client_that_will_prompt_warms_the_model(autojump_clock: trio.testing.MockClock) -> None:
    """`agentctl status` must not load a model."""
    async with open_house(HELLO) as house, connected(house) as peer:
        assert peer.prompted == []
        await peer.call("initialize", **GREETING, prompting=True)
        assert peer.prompted == [None]


async def test_nothing_is_answered_before_the_handshake(autojump_clock: trio.testing.MockClock) -> None:
    """Neither a method nor a watch; afterwards it works, on the same connection."""
    async with open_house(HELLO) as house, connected(house, greet=False) as peer:
        live = await house.create()
        for method, params in (("session/list", {}), ("session/watch", {"session": live.state.id}), ("no/such", {})):
            error = await peer.call(method, **params)
            assert error["data"]["code"] == "protocol_error" and "initialize" in error["message"]
        assert (await peer.call("initialize", protocol=1, surely_no_such=1))["data"]["code"] == "invalid_params"
        assert (await peer.call("initialize", client="no protocol"))["data"]["code"] == "invalid_params"
        assert (await peer.call("session/list"))["data"]["code"] == "protocol_error" and live.watchers == 0
        await peer.call("initialize", **GREETING)
        assert len((await peer.call("session/list"))["sessions"]) == 1


@pytest.mark.parametrize("more", [{}, {"field_of_the_future": True, "client": 7}], ids=["alike", "unlike"])
async def test_other_protocol_version_is_named_and_the_connection_ends(
    more: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    """Also when the other version's parameters are unknown to us; both numbers, and what to do."""
    async with open_house(HELLO) as house, connected(house, greet=False) as peer:
        error = await peer.call("initialize", protocol=2, **more)
        assert error["data"]["code"] == "version_mismatch" and "agentctl daemon restart" in error["message"]
        assert error["data"]["details"] == {"client": 2, "daemon": 1, "version": "1.2.3"}
        assert peer.session.closing
        assert (await peer.call("session/list"))["data"]["code"] == "protocol_error"


# --- requests ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "identity", "code"),
    [
        (b"{", None, "parse_error"),
        (b"\xff\xfe", None, "parse_error"),
        (b"[]", None, "protocol_error"),
        ([{"jsonrpc": "2.0", "id": 1, "method": "session/list"}], None, "protocol_error"),
        ({"id": 1, "method": "session/list"}, 1, "protocol_error"),
        ({"jsonrpc": "2.0", "id": "a"}, "a", "protocol_error"),
        ({"jsonrpc": "2.0", "id": 1, "method": "session/list", "params": []}, 1, "protocol_error"),
        ({"jsonrpc": "2.0", "id": 1, "method": "no/such"}, 1, "unknown_method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "session/get"}, 1, "invalid_params"),
        ({"jsonrpc": "2.0", "id": 1, "method": "session/watch", "params": {"session": ""}}, 1, "invalid_params"),
        ({"jsonrpc": "2.0", "id": 1, "method": "session/watch", "params": {"session": "a", "after": -1}}, 1, "invalid_params"),
        ({"jsonrpc": "2.0", "id": "w", "method": "session/watch", "params": {"session": "abc"}}, "w", "not_found"),
        ({"jsonrpc": "2.0", "id": "w", "method": "session/unwatch", "params": {"session": "abc"}}, "w", "not_found"),
    ],
)
async def test_each_bad_request_has_its_error_and_the_connection_lives(
    frame: object, identity: object, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The error has the request's id where it could be read, and its internal fields do not show."""
    async with open_house(HELLO) as house, connected(house) as peer:
        (reply,) = await peer.send(frame)
        assert (reply["id"], reply["error"]["data"]["code"]) == (identity, code)
        assert "details" not in reply["error"]["data"] or "id" not in reply["error"]["data"]["details"]
        assert (await peer.call("session/list"))["sessions"] == [] and not peer.session.closing


async def test_frame_over_the_limit_is_an_error(autojump_clock: trio.testing.MockClock) -> None:
    """The transport has dropped it and says so; the peer learns why."""
    async with open_house(HELLO) as house, connected(house) as peer:
        await peer.session.handle(Oversized(4096))
        (frame,) = peer.outlet.take()
        assert "4096" in frame["error"]["message"] and frame["error"]["data"]["code"] == "protocol_error"


async def test_notification_gets_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Neither a result nor an error; its effect happens."""
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        note = {"jsonrpc": "2.0", "method": "session/watch", "params": {"session": live.state.id}}
        assert await peer.send(note) == [] and live.watchers == 1
        assert await peer.send({"jsonrpc": "2.0", "method": "session/get", "params": {}}) == []
        assert await peer.send({"jsonrpc": "2.0", "method": "no/such"}) == []


# --- a view, then the tail --------------------------------------------------------------------------------------------------------


async def test_tail_begins_where_the_view_ends(autojump_clock: trio.testing.MockClock) -> None:
    """The reply first, then every event with a greater seq, with deltas between them."""
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create(title="mine")
        answer = await peer.call("session/watch", session=live.state.id[:8])
        assert (answer["session"], answer["seq"], answer["boot"]) == (live.state.id, 1, "boot")
        assert answer["view"]["info"]["title"] == "mine" and answer["view"]["draft"] is None
        assert peer.heard() == []
        await house.prompt(live, "hi")
        await house.idle(live)
        assert peer.heard() == [
            ("input_accepted", 2),
            ("turn_started", 3),
            ("delta", None),
            ("delta", None),
            ("assistant_message", 4),
            ("turn_finished", 5),
        ]


async def test_view_in_the_middle_of_a_reply_has_what_was_streamed(autojump_clock: trio.testing.MockClock) -> None:
    """The draft in the view and the deltas after it are the text, each character once."""
    gate = trio.Event()
    async with open_house(FakeModels(lambda prompt: Say(["He", "llo"], gate=gate))) as house, connected(house) as peer:
        live = await house.create()
        await house.prompt(live, "hi")
        await settle()
        view = (await peer.call("session/watch", session=live.state.id))["view"]
        assert view["draft"] == {"turn": 1, "step": 0, "parts": [{"part": 0, "type": "text", "text": "Hello", "name": ""}]}
        assert view["turn"] == 1 and view["info"]["status"] == "running"
        gate.set()
        await house.idle(live)
        assert peer.heard() == [("assistant_message", 4), ("turn_finished", 5)]


async def test_resume_with_nothing_missed_shows_the_draft_anew(autojump_clock: trio.testing.MockClock) -> None:
    """With `after` there is no view: a draft is sent as `draft_reset`, after the reply."""
    gate = trio.Event()
    async with open_house(FakeModels(lambda prompt: Say(["Hello"], gate=gate))) as house, connected(house) as peer:
        live = await house.create()
        await house.prompt(live, "hi")
        await settle()
        answer = await peer.call("session/watch", session=live.state.id, after=3)
        assert (answer["seq"], answer["view"]) == (3, None)
        (reset,) = peer.events
        assert reset["kind"] == "draft_reset" and reset["data"]["parts"][0]["text"] == "Hello"
        gate.set()


# --- replay -----------------------------------------------------------------------------------------------------------------------


async def test_replay_sends_what_was_missed_then_the_tail(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page at the pace of the reader, while new events keep coming: each once, in order."""
    monkeypatch.setattr("agentd.rpc._PAGE", 3)
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 6)
        peer.outlet.stall()
        assert (await peer.call("session/watch", session=live.state.id, after=0))["seq"] == 7
        await settle()
        assert peer.heard() == [("session_created", 1), *numbered(2, 3)]  # not a page more: the peer has not read these
        await rename(house, live, 2)
        assert peer.heard() == []
        peer.outlet.resume()
        await settle()
        assert peer.heard() == numbered(4, 5, 6, 7, 8, 9)
        await rename(house, live)
        assert peer.heard() == numbered(10)


async def test_draft_is_shown_where_the_replay_reaches_it(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas before that are not sent: they would have no beginning."""
    monkeypatch.setattr("agentd.rpc._PAGE", 1)
    gate = trio.Event()
    async with open_house(FakeModels(lambda prompt: Say(["He", "llo"], gate=gate))) as house, connected(house) as peer:
        live = await house.create()
        peer.outlet.stall()
        await rename(house, live)
        await peer.call("session/watch", session=live.state.id, after=1)
        await house.prompt(live, "hi")
        await settle()
        assert peer.heard() == numbered(2)
        peer.outlet.resume()
        await settle()
        assert peer.heard() == [("input_accepted", 3), ("turn_started", 4), ("draft_reset", None)]
        gate.set()
        await house.idle(live)
        assert peer.heard() == [("assistant_message", 5), ("turn_finished", 6)]


@pytest.mark.parametrize(("kept", "after"), [(1, 6), (1, 2**62), (4, 0), (4, 2), (99, 4)])
async def test_cursor_that_leads_nowhere_is_refused(
    kept: int, after: int, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the oldest kept event or beyond the newest (a backup was restored): the error names both, and nothing is watched."""
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 4)
        forget(house, monkeypatch, lambda seq: seq >= kept)
        error = await peer.call("session/watch", session=live.state.id, after=after)
        assert (error["data"]["code"], error["data"]["details"]) == ("cursor_expired", {"oldest": min(kept, 6), "newest": 5})
        assert live.watchers == 0 and not house.bus.watched(live.state.id)
        assert (await peer.call("session/watch", session=live.state.id))["seq"] == 5


@pytest.mark.parametrize("after", [3, 4, 5])
async def test_cursor_at_the_edge_of_what_is_kept_goes_on(
    after: int, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event before the oldest one kept, and the newest one, are places to go on from."""
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 4)
        forget(house, monkeypatch, lambda seq: seq >= 4)
        assert (await peer.call("session/watch", session=live.state.id, after=after))["seq"] == 5
        await settle()
        assert peer.heard() == numbered(*range(after + 1, 6))


async def test_watch_that_waits_for_the_disk_is_refused_if_its_session_is_deleted_meanwhile(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody watches what is not there."""
    async with open_house(HELLO) as house, connected(house) as peer, connected(house) as other:
        live = await house.create()
        await rename(house, live)
        through = house.store.read

        async def deleted_first(*args: Any, **more: Any) -> Any:
            await other.call("session/delete", session=live.state.id)
            return await through(*args, **more)

        monkeypatch.setattr(house.store, "read", deleted_first)
        answer = await peer.call("session/watch", session=live.state.id, after=1)
        assert answer["data"]["code"] == "not_found" and not house.bus.watched(live.state.id)


@pytest.mark.parametrize("missing", [{3}, {4}, {5, 6}, {6}])
async def test_hole_in_the_log_ends_the_replay_and_not_the_daemon(
    missing: set[int], autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cursor_expired` with the last seq sent; what was sent has no hole; a fresh view is to be had on the same connection."""
    monkeypatch.setattr("agentd.rpc._PAGE", 2)
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 5)
        forget(house, monkeypatch, lambda seq: seq not in missing)
        await peer.call("session/watch", session=live.state.id, after=1)
        await settle()
        assert peer._replies() == []
        *sent, closed = peer.events
        assert [event["seq"] for event in sent] == list(range(2, closed["data"]["seq"] + 1))
        assert closed["data"]["reason"] == "cursor_expired" and closed["data"]["seq"] < min(missing)
        assert live.watchers == 0 and not house.bus.watched(live.state.id)
        peer.events.clear()
        assert (await peer.call("session/watch", session=live.state.id))["seq"] == 6
        await rename(house, live)
        assert peer.heard() == numbered(7)


# --- the end of a watch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backlog", [(MAX_FRAMES, 0), (1, MAX_BYTES)], ids=["frames", "bytes"])
async def test_reader_that_falls_behind_is_cut_off_and_comes_back(
    backlog: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    """`lagged` with the last seq it was sent, nothing after it; others and the turn do not notice; `after` gets the rest."""
    async with open_house(HELLO) as house, connected(house) as slow, connected(house) as quick:
        live = await house.create()
        for peer in (slow, quick):
            await peer.call("session/watch", session=live.state.id)
        await rename(house, live)
        slow.outlet.backlog = backlog
        await rename(house, live, 3)
        assert slow.heard() == [*numbered(2), ("watch_closed", None)] and live.watchers == 1
        assert quick.heard() == numbered(2, 3, 4, 5)
        slow.outlet.resume()
        await rename(house, live)
        assert slow.heard() == []
        await slow.call("session/watch", session=live.state.id, after=2)
        await settle()
        assert slow.heard() == numbered(3, 4, 5, 6)


async def test_lagged_says_where_to_go_on(autojump_clock: trio.testing.MockClock) -> None:
    """The seq of the last event sent; deltas, sent or not, do not move it."""
    gate = trio.Event()
    async with open_house(FakeModels(lambda prompt: Say(["He", "llo"], gate=gate))) as house, connected(house) as peer:
        live = await house.create()
        await peer.call("session/watch", session=live.state.id)
        await house.prompt(live, "hi")
        await settle()
        assert peer.heard()[-1] == ("delta", None)
        peer.outlet.backlog = (MAX_FRAMES, 0)
        gate.set()
        await house.idle(live)
        assert peer._replies() == []
        assert [event["data"] for event in peer.events] == [{"reason": "lagged", "seq": 3}]


async def test_unwatch_ends_it_at_once(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its answer not one event more, also when a replay was under way; a second one has nothing to end."""
    monkeypatch.setattr("agentd.rpc._PAGE", 1)
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 3)
        for after in (None, 0):
            await peer.call("session/watch", session=live.state.id, **({} if after is None else {"after": after}))
            assert await peer.call("session/unwatch", session=live.state.id) == {}
            peer.heard()
            await rename(house, live)
            await settle()
            assert peer.heard() == [] and live.watchers == 0 and not house.bus.watched(live.state.id)
        assert (await peer.call("session/unwatch", session=live.state.id))["data"]["code"] == "not_found"


@pytest.mark.parametrize("method", ["session/unwatch", "session/watch", "session/delete"])
async def test_page_that_is_being_read_when_the_watch_ends_is_not_sent(
    method: str, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be slow: what it brings for a watch that is no more is dropped."""
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 3)
        through, gate = house.store.read, trio.Event()

        async def slow(stream: str, *, after: int, limit: int) -> Sequence[Event]:
            if limit == _PAGE:
                await gate.wait()
            return await through(stream, after=after, limit=limit)

        monkeypatch.setattr(house.store, "read", slow)
        await peer.call("session/watch", session=live.state.id, after=0)
        await settle()
        await peer.call(method, session=live.state.id)
        peer.events.clear()
        gate.set()
        await settle()
        assert peer.heard() == []


@pytest.mark.parametrize("first", [{}, {"after": 0}], ids=["tailing", "replaying"])
@pytest.mark.parametrize("second", [{}, {"after": 2}], ids=["view", "after"])
async def test_watching_again_replaces_the_watch(
    first: dict[str, int], second: dict[str, int], autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event comes once after the second answer, from the place that it names; the session has one watcher."""
    monkeypatch.setattr("agentd.rpc._PAGE", 1)
    async with open_house(HELLO) as house, connected(house) as peer:
        live = await house.create()
        await rename(house, live, 3)
        await peer.call("session/watch", session=live.state.id, **first)
        peer.outlet.stall()
        await settle()
        peer.events.clear()
        answer = await peer.call("session/watch", session=live.state.id, **second)
        peer.events.clear()  # what the first had sent before the second answer
        peer.outlet.resume()
        await rename(house, live)
        await settle()
        begin = second.get("after", answer["seq"])
        assert peer.heard() == numbered(*range(begin + 1, 6)) and live.watchers == 1


@pytest.mark.parametrize("params", [{}, {"after": 0}], ids=["tailing", "replaying"])
async def test_deletion_is_the_last_word_of_a_watch(
    params: dict[str, int], autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deleted`, also in the middle of a replay; then the session is not to be found, by this connection or another."""
    monkeypatch.setattr("agentd.rpc._PAGE", 1)
    async with open_house(HELLO) as house, connected(house) as peer, connected(house) as other:
        live = await house.create()
        await rename(house, live, 3)
        peer.outlet.stall()
        await peer.call("session/watch", session=live.state.id, **params)
        await settle()
        peer.heard()
        await other.call("session/delete", session=live.state.id)
        assert peer._replies() == [] and peer.events[-1]["data"]["reason"] == "deleted"
        peer.events.clear()
        peer.outlet.resume()
        await settle()
        assert peer.heard() == [] and not house.bus.watched(live.state.id)
        for client in (peer, other):
            assert (await client.call("session/watch", session=live.state.id))["data"]["code"] == "not_found"


async def test_stranger_cannot_watch(autojump_clock: trio.testing.MockClock) -> None:
    """Another user's session is as if it were not there."""
    async with open_house(HELLO) as house, connected(house, caller=Caller(user="mallory", admin=False)) as peer:
        live = await house.create()
        answer = await peer.call("session/watch", session=live.state.id)
        assert answer["data"]["code"] == "not_found" and live.watchers == 0


async def test_daemon_that_stops_says_so(autojump_clock: trio.testing.MockClock) -> None:
    """Every watch ends with `stopping` and the seq to go on from at the next boot."""
    async with open_house(HELLO) as house, connected(house) as peer:
        lives = [await house.create() for _ in range(2)]
        for live in lives:
            await peer.call("session/watch", session=live.state.id)
            await rename(house, live)
        peer.heard()
        house.bus.close_all("stopping")
        assert peer._replies() == []
        assert [event["data"] for event in peer.events] == [{"reason": "stopping", "seq": 2}] * 2
        assert [live.watchers for live in lives] == [0, 0]


async def test_hanging_up_ends_all_watches(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody publishes to a peer that is gone, and its sessions may be unloaded."""
    async with open_house(HELLO) as house:
        live = await house.create()
        async with connected(house) as peer:
            await peer.call("session/watch", session=live.state.id, after=0)
            assert live.watchers == 1
        await rename(house, live)
        assert live.watchers == 0 and not house.bus.watched(live.state.id)


# --- any interleaving -------------------------------------------------------------------------------------------------------------

joins = st.tuples(st.integers(0, 40), st.none() | st.just(-1) | st.integers(0, 6))
"""When (in switches between tasks), and after what: None for a view, -1 for the newest event at that moment."""


def talk(replies: Sequence[Sequence[str]]) -> Callable[[Prompt], Reply]:
    """The model's reply to the n-th input."""
    return lambda prompt: Say(replies[sum(message.role == "user" for message in prompt.messages) - 1])


@given(
    st.lists(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=8), min_size=1, max_size=3),
    st.lists(joins, max_size=4),
)
def test_every_watcher_sees_every_event_once_whenever_it_joins(
    replies: list[list[str]], watchers: list[tuple[int, int | None]]
) -> None:
    """Clients that come at any moment, with a view or after any seq: all later events in order, each once, and a draft that has
    become exactly the message when the message comes."""

    async def watch(house: House, live: Live, turns: int, after: int | None) -> None:
        async with connected(house) as peer:
            after = None if after is None else live.state.seq if after == -1 else min(after, live.state.seq)
            params = {} if after is None else {"after": after}
            answer = await peer.call("session/watch", session=live.state.id, **params)
            while live.state.turns < turns or live.busy or live.state.queue:
                await live.changed()
            await settle()
            assert peer._replies() == []
            begin = answer["seq"] if after is None else after
            assert [event["seq"] for event in peer.events if "seq" in event] == list(range(begin + 1, live.state.seq + 1))
            check_drafts(answer, peer.events)

    async def scenario() -> None:
        async with open_house(FakeModels(talk(replies))) as house:
            live = await house.create()
            async with trio.open_nursery() as nursery:
                for moment, after in watchers:

                    async def join(moment: int = moment, after: int | None = after) -> None:
                        for _ in range(moment):
                            await trio.lowlevel.checkpoint()
                        await watch(house, live, len(replies), after)

                    nursery.start_soon(join)
                for number in range(len(replies)):
                    await house.prompt(live, str(number))

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


def check_drafts(answer: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Follow the protocol's rules for drafts as a client does."""
    view = answer["view"]
    draft = view["draft"]["parts"][0]["text"] if view and view["draft"] and view["draft"]["parts"] else ""
    for event in events:
        match event["kind"]:
            case "delta":
                for part in event["data"]["parts"]:
                    assert part["offset"] == len(draft)
                    draft += part["text"]
            case "draft_reset":
                draft = "".join(part["text"] for part in event["data"]["parts"])
            case "assistant_message":
                text = event["data"]["parts"][0]["text"]
                replayed = view is None and event["seq"] <= answer["seq"]
                assert draft in ({"", text} if replayed or view is None else {text})
                draft = ""
