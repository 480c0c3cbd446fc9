"""The real daemon and clients that do not behave: that do not read, that ask too much, that come late, that answer both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from agentwire.codec import encode, request
from agentwire.errors import AgentError, Conflict, Overloaded
from tests.fakes.history import Screen, ends, iterate, text_of, valid
from tests.fakes.real import Daemon, Home, Models, Peer, call, rule, say

TOOLS = """
import os
from agentd.tool import tool

@tool(policy="ask")
def pay(amount: int) -> str:
    "Pays."
    with open(os.path.expanduser("~/paid"), "a") as file:
        file.write(f"{os.environ['AGENTD_CALL_ID']} {amount}\\n")
    return "paid"
"""
STREAMED = {"verb": "tokens", "count": 150, "delay": 0.004}
TEXT = "".join(f"w{number} " for number in range(150))
RULES = [
    rule("stream", STREAMED),
    rule("torrent", say(("x" * 199 + " ") * 3000)),
    rule("pay", call("pay", amount=5), after_tools=0),
    rule("pay", say("It is paid.")),
    rule("", say("ok")),
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Home() as home, Models(RULES) as models:
        home.write("config/tools/pay.py", TOOLS)
        yield home.start(models)


async def test_a_client_that_stops_reading_costs_nobody_anything_and_misses_nothing(daemon: Daemon) -> None:
    """Its watch ends with `lagged` and the last seq it was sent; the turns go on; with `after` it has every event once."""
    async with daemon.connect() as sleeper, daemon.connect() as worker:
        session = await worker.create()
        await sleeper.call("session/watch", session=session, after=0)
        for _ in range(5):  # more than 4 MiB and any socket's buffer
            await worker.prompt(session, "torrent")
        for turn in range(1, 6):
            await worker.until("turn_finished", turn=turn, outcome="done")
        screen = Screen()
        while (event := await sleeper.event())["kind"] != "watch_closed":
            screen.take(event)
        assert event["data"]["reason"] == "lagged"
        assert event["data"]["seq"] == (screen.seqs[-1] if screen.seqs else 0)
        head = (await sleeper.call("session/watch", session=session, after=event["data"]["seq"]))["seq"]
        while not screen.seqs or screen.seqs[-1] < head:
            screen.take(await sleeper.event())
        assert screen.seqs == list(range(1, head + 1))


async def test_a_client_that_only_asks_is_not_heard_until_it_reads(daemon: Daemon) -> None:
    """Memory does not grow with what it asked for; others are served; when it reads, every answer is there, in order."""
    async with daemon.connect() as flooder, daemon.connect() as other, trio.open_nursery() as nursery:
        session = await other.create()
        await other.prompt(session, "x" * 900_000)
        await other.until("turn_finished")
        before, count = daemon.rss(), 150
        flood = b"".join(request(number, "event/list", {"session": session}) for number in range(1, count + 1))
        nursery.start_soon(flooder.send, flood)
        for _ in range(2 * count):
            await other.call("daemon/status")
        assert daemon.rss() - before < 48 * 2**20, "150 answers of 0.9 MB are waiting in memory"
        assert [(await flooder.frame())["id"] for _ in range(count)] == list(range(1, count + 1))


async def test_replays_of_several_sessions_on_one_connection_all_come_to_their_ends(daemon: Daemon) -> None:
    """Each watch with `after` sends its whole past at its reader's pace and then the tail, however many share the connection."""
    async with daemon.connect() as writer, daemon.connect() as reader:
        sessions = [(await writer.call("session/create", cwd="/"))["id"] for _ in range(4)]
        for session in sessions:
            for _ in range(3):
                await writer.call("session/rename", session=session, title="a")
                await writer.prompt(session, "y" * 700_000)
        for session in sessions:
            await reader.ask("session/watch", session=session, after=0)
        await _settled(writer, sessions)
        seqs: dict[str, list[int]] = {session: [] for session in sessions}
        heads = {session: len(await writer.log(session)) for session in sessions}
        await _collect(reader, seqs, heads)
        for session in sessions:
            await writer.call("session/rename", session=session, title="b")
        await _collect(reader, seqs, {session: head + 1 for session, head in heads.items()})
        assert seqs == {session: list(range(1, head + 2)) for session, head in heads.items()}


async def _settled(peer: Peer, sessions: list[str]) -> None:
    for session in sessions:
        while (info := await peer.call("session/get", session=session))["status"] != "idle" or info["queued"]:
            await trio.lowlevel.checkpoint()


async def _collect(peer: Peer, seqs: dict[str, list[int]], heads: dict[str, int]) -> None:
    while any(len(seqs[session]) < head for session, head in heads.items()):
        message = await peer.frame()
        if message.get("method") == "event" and "seq" in message["params"]:
            seqs[message["params"]["stream"]].append(message["params"]["seq"])


async def test_a_long_session_is_read_in_pages_that_fit_frames(daemon: Daemon) -> None:
    """Eight megabytes of events: forward or backward, each page is a frame a client may take, and together they are all."""
    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        for _ in range(9):
            await peer.prompt(session, "z" * 900_000)
            await _settled(peer, [session])  # what waits together is bounded
        log = await peer.log(session)
        valid(log)
        back: list[Any] = []
        while not back or back[0]["seq"] > 1:
            page = await peer.call("event/list", session=session, before=back[0]["seq"] if back else 10**9)
            assert page["more"] == (page["events"][0]["seq"] > 1)
            back = page["events"] + back
        assert back == log


async def test_what_waits_fits_the_view(daemon: Daemon) -> None:
    """More than a view can hold is refused while it would have to wait; what is there can be watched, and is answered."""
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "pay", interactive=True)
        await peer.until("approval_requested")
        for _ in range(2):
            await peer.prompt(session, "q" * 900_000)
        with pytest.raises(Overloaded, match="long"):
            await peer.prompt(session, "q" * 900_000)
        view = (await peer.call("session/watch", session=session))["view"]
        assert [len(queued["parts"][0]["text"]) for queued in view["queue"]] == [900_000, 900_000]
        await peer.prompt(session, "short")
        await peer.call("session/cancel", session=session)
        await peer.until("turn_finished", turn=4, outcome="done")


async def test_whoever_comes_late_sees_the_same_text(daemon: Daemon) -> None:
    """View and tail meet exactly at any moment of a streaming reply, with and without `after`."""
    async with daemon.connect() as first, trio.open_nursery() as nursery:
        session = await first.create()
        screens: list[Screen] = []
        await first.prompt(session, "stream it")
        screen = Screen()
        while (event := await first.event())["kind"] != "turn_finished":
            screen.take(event)
            if event["kind"] == "delta" and len(screens) < 24:
                screens.append(Screen())
                nursery.start_soon(_come_late, daemon, session, screens[-1], len(screens) % 2 == 0)
        log = await first.log(session)
    assert text_of(log, 1) == TEXT
    assert screen.shown == {(1, 0, 0): TEXT}
    assert len(screens) == 24
    assert all(late.shown == screen.shown for late in screens)


async def _come_late(daemon: Daemon, session: str, screen: Screen, replay: bool) -> None:
    async with daemon.connect() as peer:
        answer = await peer.call("session/watch", session=session, **({"after": 0} if replay else {}))
        if not replay and (draft := answer["view"]["draft"]):
            screen.take({"kind": "draft_reset", "data": draft})
        while (event := await peer.event())["kind"] != "turn_finished":
            screen.take(event)


async def test_two_answers_to_one_question(daemon: Daemon) -> None:
    """The first answer holds; the second is told so; both clients see the same answer, and the tool runs once."""
    async with daemon.connect() as one, daemon.connect() as two:
        session = await one.create()
        await two.call("session/watch", session=session, after=0)
        await one.prompt(session, "pay", interactive=True)
        question = (await one.until("approval_requested"))["data"]
        await two.until("approval_requested")
        answer = {"session": session, "call": question["call"], "arguments_hash": question["arguments_hash"]}
        results: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer, one, results, {**answer, "decision": "allow"})
            nursery.start_soon(_answer, two, results, {**answer, "decision": "allow", "note": "me too"})
        assert sorted(map(type, results), key=str) == [Conflict, dict]
        seen = [(await peer.until("approval_answered"))["data"] for peer in (one, two)]
        assert seen[0] == seen[1]
        assert (await one.until("turn_finished"))["data"]["outcome"] == "done"
        assert [words for words in iterate(daemon.home.path / "paid") if words[0] == question["call"]] == [[question["call"], "5"]]
        with pytest.raises(AgentError) as late:
            await one.call("approval/answer", **answer, decision="deny")
        assert late.value.code == "not_found"


async def _answer(peer: Peer, results: list[Any], params: dict[str, Any]) -> None:
    try:
        results.append(await peer.call("approval/answer", **params))
    except Conflict as error:
        results.append(error)


async def test_an_answer_is_bound_to_the_arguments_it_was_asked_about(daemon: Daemon) -> None:
    """With another hash it is refused, and the question stays open for everybody."""
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "pay", interactive=True)
        question = (await peer.until("approval_requested"))["data"]
        with pytest.raises(Conflict, match="other arguments"):
            await peer.call("approval/answer", session=session, call=question["call"], arguments_hash="0" * 64, decision="allow")
        view = (await peer.call("session/watch", session=session))["view"]
        assert [open_question["call"] for open_question in view["approvals"]] == [question["call"]]
        await peer.call(
            "approval/answer",
            session=session,
            call=question["call"],
            arguments_hash=question["arguments_hash"],
            decision="deny",
            note="not today",
        )
        assert (await peer.until("tool_finished"))["data"]["outcome"] == "denied"
        assert (await peer.until("turn_finished"))["data"]["denials"] == 1


async def test_a_prompt_whose_sender_hangs_up_is_run_all_the_same(daemon: Daemon) -> None:
    """What was sent is obeyed, whether or not somebody waits for the answer: ten of ten."""
    async with daemon.connect() as peer:
        session = await peer.create()
        for number in range(10):
            async with daemon.open() as rude:
                handshake = {"jsonrpc": "2.0", "method": "initialize", "params": {"protocol": 1}}
                params = {"session": session, "parts": [{"kind": "text", "text": f"input {number}"}]}
                await rude.send(encode(handshake) + encode({"jsonrpc": "2.0", "method": "session/prompt", "params": params}))
        for number in range(1, 11):
            await peer.until("turn_finished", turn=number, outcome="done")
        log = await peer.log(session)
        valid(log)
        assert ends(log) == dict.fromkeys(range(1, 11), "done")


async def test_deleting_a_session_at_work_needs_force_and_ends_everything(daemon: Daemon) -> None:
    """Without force it is a conflict; with it the turn ends, its watchers are told, and nothing of the session is left."""
    async with daemon.connect() as peer, daemon.connect() as other:
        session = await peer.create()
        await peer.prompt(session, "stream it")
        await peer.prompt(session, "and this waits")
        await peer.until("delta")
        with pytest.raises(Conflict, match="force"):
            await other.call("session/delete", session=session)
        await other.call("session/delete", session=session, force=True)
        await peer.until("watch_closed", reason="deleted")
        for method in ("session/get", "session/cancel", "event/list", "session/watch"):
            with pytest.raises(AgentError) as gone:
                await other.call(method, session=session)
            assert gone.value.code == "not_found"
        with pytest.raises(AgentError) as gone:
            await peer.prompt(session, "hello?", key="after the end")
        assert gone.value.code == "not_found"
