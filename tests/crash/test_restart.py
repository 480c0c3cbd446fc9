"""kill -9 at chosen points: every event of a turn, both sides of an acknowledgement, queues, questions, too many crashes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agentwire.errors import Conflict, CursorExpired
from tests.crash.script import SLOW_TEXT, finished, let_go
from tests.fakes.history import ends, iterate, outcomes, text_of, valid
from tests.fakes.real import Daemon, Home, Models, Peer, eventually

pytestmark = pytest.mark.slow


def history(log: list[dict[str, Any]]) -> list[Any]:
    """What a turn came to, without when and in how many pieces: its text, its calls, their results, its end."""
    said = [(event["kind"], event["data"]) for event in log]
    calls = [(data["name"], data["arguments_json"]) for kind, data in said if kind == "tool_planned"]
    results = {data["call"][-5:]: (data["outcome"], data["parts"]) for kind, data in said if kind == "tool_finished"}
    return [text_of(log, 1), calls, sorted(result for result in map(str, results.values())), ends(log)]


@pytest.mark.timeout(240)
async def test_killed_at_any_event_a_turn_ends_with_the_same_history(home: Home, models: Models) -> None:
    """A turn with three calls of safe tools, killed as soon as a client sees its k-th event, for every k, and once not at all."""
    daemon, kinds, k = home.start(models), 0, 0
    whole: list[Any] = []
    while not kinds or k <= kinds:
        session = await _until_event(daemon, k)
        if k:
            daemon.kill()
            daemon = home.start(models)
        async with daemon.connect() as peer:
            if k in (1, 2):  # it may not have heard of the prompt; the key makes asking again safe
                await peer.prompt(session, "two tools", key=session)
            log = await finished(peer, session)
        whole, kinds = whole or history(log), kinds or len(log)
        assert history(log) == whole, f"killed at event {k}"
        k += 1
        assert await daemon.stop() == 0  # closes the book on the crash
        daemon = home.start(models)
    assert kinds == 16


async def _until_event(daemon: Daemon, k: int) -> str:
    """Start the turn; returns once its event number `k` was seen (with 0: at once)."""
    async with daemon.connect() as peer:
        session: str = (await peer.call("session/create", cwd="/"))["id"]
        await peer.ask("session/watch", session=session, after=0)
        await peer.ask("session/prompt", session=session, parts=[{"kind": "text", "text": "two tools"}], key=session)
        seen = 0
        while seen < (k or 3):
            frame = await peer.frame()
            seen += "seq" in frame.get("params", {})
    return session


async def test_a_prompt_is_taken_once_however_often_it_is_sent(home: Home, models: Models) -> None:
    """Killed after the answer, or before it was read: the same key gets one input, and the same answer for ever."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        answer = await peer.prompt(session, "hello", key="first")
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert await peer.prompt(session, "hello", key="first") == answer
        with pytest.raises(Conflict):
            await peer.prompt(session, "something else", key="first")
        await peer.ask("session/prompt", session=session, parts=[{"kind": "text", "text": "again"}], key="second")
        daemon.kill()  # nobody knows whether it was heard
    daemon = home.start(models)
    async with daemon.connect() as peer:
        answers = [await peer.prompt(session, "again", key="second") for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        log = await finished(peer, session, 2)
        texts = [event["data"]["parts"][0]["text"] for event in log if event["kind"] == "input_accepted"]
        assert texts == ["hello", "again"]
        created = [(await peer.call("session/create", cwd="/", key="third"))["id"] for _ in range(2)]
        assert created[0] == created[1]


async def test_a_reply_goes_on_where_it_was_cut(home: Home, models: Models) -> None:
    """kill -9 in the middle of a long reply: what was saved is kept, the rest is asked for, and the text is whole."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "slowly")
        while (await peer.until("delta"))["data"]["parts"][0]["offset"] < 400:
            pass
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        log = await finished(peer, session)
    assert [event["kind"] for event in log[3:]] == ["assistant_message", "turn_resumed", "assistant_message", "turn_finished"]
    assert text_of(log, 1) == SLOW_TEXT
    assert log[3]["data"]["stop"] == "interrupted"
    assert 200 < len(text_of(log[:4], 1)) < 800


async def test_an_effect_that_had_begun_is_not_repeated(home: Home, models: Models) -> None:
    """Killed inside a tool: with somebody watching the model hears `unknown`; with nobody the turn ends `interrupted`."""
    home.environ["AGENTD_TURN_RESUME_GRACE"] = "2"
    daemon = home.start(models)
    sessions = {}
    async with daemon.connect() as peer:
        for which in ("watched", "alone"):
            sessions[which] = await peer.create()
            await peer.prompt(sessions[which], "hold")
        await eventually(lambda: len(list(iterate(home.path / "effects"))) == 2)
        daemon.kill()
    await eventually(lambda: not home.processes(), "the tools' end", seconds=3)
    daemon = home.start(models)
    async with daemon.connect() as peer:
        log = await finished(peer, sessions["watched"])
        assert list(outcomes(log).values()) == ["unknown"]
        assert (ends(log), text_of(log, 1)) == ({1: "done"}, "Held.")
    async with daemon.connect() as peer:
        # Its end is awaited without watching, because a watcher would change it.
        while (await peer.call("session/get", session=sessions["alone"]))["status"] != "idle":
            await trio.lowlevel.checkpoint()
        log = await peer.log(sessions["alone"])
        assert (list(outcomes(log).values()), ends(log)) == (["unknown"], {1: "interrupted"})
        await peer.prompt(sessions["alone"], "are you there?")
        await finished(peer, sessions["alone"], 2)
    assert len(list(iterate(home.path / "effects"))) == 2


async def test_a_safe_tool_that_had_begun_is_run_again(home: Home, models: Models) -> None:
    """Killed inside a `read` tool, nobody watching: it runs again by itself and the turn is done."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "peek")
        await eventually(lambda: len(list(iterate(home.path / "looks"))) == 1)
        daemon.kill()
    daemon = home.start(models)
    await eventually(lambda: len(list(iterate(home.path / "looks"))) == 2)
    await let_go(home)
    async with daemon.connect() as peer:
        log = await finished(peer, session)
    assert (list(outcomes(log).values()), text_of(log, 1)) == (["ok"], "Peeked.")


async def test_a_question_waits_through_a_restart(home: Home, models: Models) -> None:
    """A pending approval is asked again by the next daemon, with the same arguments; the answer is acted on once."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "pay", interactive=True)
        question = (await peer.until("approval_requested"))["data"]
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer, daemon.connect() as other:
        view = (await peer.call("session/watch", session=session))["view"]
        (again,) = view["approvals"]
        assert {**again, "turn": 1} == question
        answer = {"session": session, "call": again["call"], "arguments_hash": again["arguments_hash"], "decision": "allow"}
        numbers = [await peer.ask("approval/answer", **answer), await other.ask("approval/answer", **answer)]
        results = [await _settled(one, number) for one, number in zip((peer, other), numbers, strict=True)]
        assert sorted(results) == ["answered", "conflict"]
        await peer.until("turn_finished", outcome="done")
        assert outcomes(await peer.log(session)) == {question["call"]: "ok"}
    assert [words[0] for words in iterate(home.path / "effects")] == [question["call"]]


async def _settled(peer: Peer, number: int) -> str:
    try:
        await peer.answer(number)
    except Conflict:
        return "conflict"
    return "answered"


async def test_what_waits_keeps_its_order_through_a_restart(home: Home, models: Models) -> None:
    """Inputs that waited when the daemon was killed wait in the same order; an interrupt comes before all of them."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "pay", interactive=True)
        await peer.until("approval_requested")
        for text in ("queued 1", "queued 2"):
            assert (await peer.prompt(session, text))["turn"] is None
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        view = (await peer.call("session/watch", session=session))["view"]
        assert [queued["parts"][0]["text"] for queued in view["queue"]] == ["queued 1", "queued 2"]
        await peer.prompt(session, "queued 3")
        await peer.prompt(session, "interrupt!", delivery="interrupt")
        for turn in range(1, 6):
            await peer.until("turn_finished", turn=turn)
        log = await peer.log(session)
    texts = {event["data"]["input"]: event["data"]["parts"][0]["text"] for event in log if event["kind"] == "input_accepted"}
    order = [texts[event["data"]["input"]] for event in log if event["kind"] == "turn_started"]
    assert order == ["pay", "interrupt!", "queued 1", "queued 2", "queued 3"]
    assert list(ends(log).values()) == ["cancelled", "done", "done", "done", "done"]
    assert list(outcomes(log).values()) == ["cancelled"]


async def test_a_steer_that_waits_is_heard_after_a_restart(home: Home, models: Models) -> None:
    """Sent while a tool ran, killed before the next request: the next daemon's request has it."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "peek")
        await eventually(lambda: len(list(iterate(home.path / "looks"))) == 1)
        await peer.prompt(session, "and say why", delivery="steer")
        daemon.kill()
    daemon = home.start(models)
    await eventually(lambda: len(list(iterate(home.path / "looks"))) == 2)
    await let_go(home)
    async with daemon.connect() as peer:
        log = await finished(peer, session)
    assert [event["kind"] for event in log].count("input_steered") == 1
    assert ends(log) == {1: "done"}
    messages = models.requests("and say why")[-1]["body"]["messages"]
    assert [message["role"] for message in messages[-3:]] == ["assistant", "tool", "user"]


async def test_resume_never_leaves_turns_alone(home: Home, models: Models) -> None:
    """With turn.resume = never an open turn ends `interrupted` at the next start, its text kept; queued input stays queued."""
    home.environ["AGENTD_TURN_RESUME"] = "never"
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "slowly")
        await peer.prompt(session, "queued")
        while (await peer.until("delta"))["data"]["parts"][0]["offset"] < 400:
            pass
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        log = await finished(peer, session)
        assert ends(log) == {1: "interrupted"}
        assert 200 < len(text_of(log, 1)) < 800
        assert (await peer.call("session/get", session=session))["queued"] == 1
        await peer.prompt(session, "now")
        await peer.until("turn_finished", turn=3)
        assert ends(await peer.log(session)) == {1: "interrupted", 2: "done", 3: "done"}


async def test_three_unclean_starts_suspend_resuming(home: Home, models: Models) -> None:
    """What may be a turn that kills the daemon is not tried a fourth time; status says so; a clean stop makes it good again."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "pay", interactive=True)
        await peer.until("approval_requested")
    for suspended in (False, False, True):
        daemon.kill()
        daemon = home.start(models)
        async with daemon.connect() as peer:
            assert (await peer.call("daemon/status"))["resumes_suspended"] == suspended
    async with daemon.connect() as peer:
        assert ends(await finished(peer, session)) == {1: "interrupted"}
        await peer.prompt(session, "still here?")
        await peer.until("turn_finished", turn=2, outcome="done")
    assert await daemon.stop() == 0
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert not (await peer.call("daemon/status"))["resumes_suspended"]


async def test_a_damaged_session_is_its_own_problem(home: Home, models: Models) -> None:
    """An event that was changed on the disk: the daemon starts, says what is missing, and every other session goes on. In this one
    what comes before it is there; a client that knew more is told so, and can go on from there."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        damaged, good = await peer.create(), await peer.create()
        for session in (damaged, good):
            await peer.prompt(session, "pay", interactive=True)
            await peer.until("approval_requested")
        daemon.kill()
    home.witnesses = None  # what they saw is about to be destroyed
    home.sql(
        "UPDATE event SET kind = 'never_heard_of' WHERE kind = 'turn_started' AND stream = (SELECT id FROM stream WHERE name = ?)",
        damaged,
    )
    daemon = home.start(models)
    async with daemon.connect() as peer:
        with pytest.raises(CursorExpired) as expired:
            await peer.call("session/watch", session=damaged, after=6)
        assert expired.value.details == {"oldest": 1, "newest": 2}
        assert [event["kind"] for event in await peer.log(damaged)] == ["session_created", "input_accepted"]
        await peer.call("session/watch", session=good, after=6)
        await peer.prompt(good, "stop that", delivery="interrupt")
        await peer.until("turn_finished", turn=2, outcome="done")
        await peer.call("session/watch", session=damaged)
        await peer.prompt(damaged, "are you there?", delivery="interrupt")
        await peer.until("turn_finished", outcome="done")
        valid(await peer.log(damaged))
    assert damaged[:12] in home.log
