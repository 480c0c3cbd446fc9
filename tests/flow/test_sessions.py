"""The real daemon: sessions forked, filled, configured and cleaned up over the socket, with kill -9 before the answer is heard."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import apsw
import pytest
import trio

from agentwire.errors import Conflict, NotFound
from tests.fakes.real import Daemon, Home, Models, Peer, rule, say

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HELLO = [{"role": "user", "parts": [{"kind": "text", "text": "said elsewhere"}]}]
MANY = 100_000


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models([rule("slowly", {"verb": "tokens", "count": 400, "delay": 0.02}), rule("", say("ok"))]) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


async def sessions(peer: Peer, **which: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await peer.call("session/list", **which))["sessions"]
    return rows


async def messages(peer: Peer, session: str) -> list[str]:
    page = await peer.call("message/list", session=session)
    return [message["parts"][0]["text"] for message in page["messages"]]


async def talked(peer: Peer) -> str:
    """A session in which something was said."""
    session = await peer.create()
    await peer.prompt(session, "hi")
    await peer.until("turn_finished", outcome="done")
    return session


# --- kill -9 before the answer ---------------------------------------------------------------------------------------------------


async def unheard(daemon: Daemon, method: str, params: dict[str, Any], *, seen: Any) -> None:
    """A request whose answer nobody hears: the daemon is killed at once, or as soon as another client has seen its effect."""
    async with daemon.connect() as asker, daemon.connect() as other:
        await asker.ask(method, **params)
        while seen is not None and not await seen(other):
            pass
        daemon.kill()


@pytest.mark.parametrize("wait", [False, True])
async def test_who_did_not_hear_the_answer_asks_again(home: Home, models: Models, wait: bool) -> None:
    """A fork and an import with a key happen once; a change of settings may be made again."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await talked(peer)

    async def forked(peer: Peer) -> bool:
        return bool(await sessions(peer, parent=session))

    async def added(peer: Peer) -> bool:
        return "said elsewhere" in await messages(peer, session)

    async def changed(peer: Peer) -> bool:
        return bool((await peer.call("session/settings", session=session))["variables"])

    for method, params, seen in (
        ("session/fork", {"session": session, "key": "f"}, forked),
        ("message/add", {"session": session, "messages": HELLO, "key": "a"}, added),
        ("session/set", {"session": session, "preferences": {"pinned": True}, "variables": {"A": "1"}}, changed),
    ):
        await unheard(daemon, method, params, seen=seen if wait else None)
        daemon = home.start(models)
        async with daemon.connect() as peer:
            first = await peer.call(method, **params)
            assert first == await peer.call(method, **params)
    async with daemon.connect() as peer:
        (fork,) = await sessions(peer, parent=session)
        assert await messages(peer, fork["id"]) == ["hi", "ok"]
        assert await messages(peer, session) == ["hi", "ok", "said elsewhere"]
        assert [row["id"] for row in await sessions(peer, pinned=True)] == [session]
        assert (await peer.call("session/settings", session=session))["variables"] == {"A": "1"}
        log = await peer.log(session)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))


@pytest.mark.parametrize("wait", [False, True])
async def test_a_clean_up_that_is_killed_leaves_each_session_whole_or_gone(home: Home, models: Models, wait: bool) -> None:
    """Asked again it does the rest; what is pinned is there in the end, and its fork, which outlives its source."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        made = [await talked(peer) for _ in range(12)]
        await peer.call("session/set", session=made[0], preferences={"pinned": True})
        fork = (await peer.call("session/fork", session=made[1]))["id"]
        await peer.call("session/set", session=fork, preferences={"pinned": True})

    async def begun(peer: Peer) -> bool:
        return len(await sessions(peer)) < 13

    await unheard(daemon, "session/clean", {"age": 1e-3}, seen=begun if wait else None)
    daemon = home.start(models)
    async with daemon.connect() as peer:
        for row in await sessions(peer):
            assert await messages(peer, row["id"]) == ["hi", "ok"]
        listed = await peer.call("session/clean", age=1e-3, dry_run=True)
        gone = await peer.call("session/clean", age=1e-3)
        assert gone == listed and not gone["more"]
        assert sorted(row["id"] for row in await sessions(peer)) == sorted([made[0], fork])
        assert await messages(peer, fork) == ["hi", "ok"]
        with pytest.raises(NotFound):
            await peer.call("session/get", session=made[1])


async def test_half_a_blob_does_not_outlive_the_daemon(home: Home, models: Models) -> None:
    """After a kill -9 its pieces begin anew; whole, it is there for good."""
    content = bytes(range(256)) * 2000
    blob = hashlib.sha256(content).hexdigest()
    daemon = home.start(models)

    async def put(peer: Peer, session: str, offset: int) -> int:
        data = base64.b64encode(content[offset : offset + 256 * 1024]).decode()
        answer = await peer.call("blob/put", session=session, blob=blob, bytes=len(content), offset=offset, data=data)
        return int(answer["received"])

    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        received = await put(peer, session, 0)
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        with pytest.raises(Conflict):
            await put(peer, session, received)
        assert await put(peer, session, await put(peer, session, 0)) == len(content)
        daemon.kill()
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert (await peer.call("blob/get", session=session, blob=blob))["bytes"] == len(content)


# --- two at once -----------------------------------------------------------------------------------------------------------------


async def test_two_clients_at_once(home: Home, models: Models) -> None:
    """One key is one fork, whoever asks; settings of both are there; nobody adds to a session at work; a fork is free."""
    daemon = home.start(models)
    async with daemon.connect() as one, daemon.connect() as two:
        session = await talked(one)
        await one.prompt(session, "slowly")
        await one.until("delta")
        with pytest.raises(Conflict, match="at work"):
            await two.call("message/add", session=session, messages=HELLO)
        answers: list[Any] = []

        async def act(peer: Peer, number: int) -> None:
            fork = await peer.call("session/fork", session=session, key="same")
            await peer.call("session/set", session=fork["id"], variables={f"V{number}": str(number)})
            await peer.call("message/add", session=fork["id"], messages=HELLO, key=f"add {number}")
            answers.append(fork)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(act, one, 1)
            nursery.start_soon(act, two, 2)
        assert answers[0] == answers[1] and answers[0]["status"] == "idle"
        fork = answers[0]["id"]
        assert (await two.call("session/settings", session=fork))["variables"] == {"V1": "1", "V2": "2"}
        assert await messages(two, fork) == ["hi", "ok", "said elsewhere", "said elsewhere"]
        assert (await two.call("session/get", session=session))["status"] == "running"
        assert (await two.call("session/clean", age=1e-3, dry_run=True))["sessions"][0]["id"] == fork


# --- a hundred thousand ----------------------------------------------------------------------------------------------------------


async def test_a_hundred_thousand_sessions_cost_what_is_open(home: Home, models: Models) -> None:
    """The daemon starts, counts, lists, finds and looks through them, and holds none of them in memory."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await talked(peer)
    before = daemon.rss()
    assert await daemon.stop() == 0
    _fill(home)
    daemon = home.start(models)
    async with daemon.connect() as peer:
        assert (await peer.call("daemon/status"))["sessions"] == MANY + 1
        page = await peer.call("session/list", limit=50)
        assert page["sessions"][0]["id"] == session and len(page["sessions"]) == 50
        assert len(await sessions(peer, before=page["cursor"], cwd="/p7")) == 50
        assert await messages(peer, session[:12]) == ["hi", "ok"]
        listed = await peer.call("session/clean", age=86400.0, dry_run=True)
        assert len(listed["sessions"]) == 1000 and listed["more"]
        assert (await peer.call("session/clean", idle=5e9, dry_run=True))["sessions"] == []
    assert daemon.rss() - before < 24 * 2**20
    assert await daemon.stop() == 0


def _fill(home: Home) -> None:
    """Rows of the index as they are for sessions that were made in 2023."""
    database = apsw.Connection(str(home.data / "agentd.db"))
    row = "INSERT INTO session SELECT ?, user, ?, ?, model, 'idle', ?, ?, 1, 0, 0, '', 0 FROM session LIMIT 1"
    columns = [name for _, name, *_ in database.execute("PRAGMA table_info(session)")]
    assert columns == [
        "id",
        "user",
        "title",
        "cwd",
        "model",
        "status",
        "created_at",
        "updated_at",
        "turns",
        "queued",
        "pinned",
        "parent",
        "jobs",
    ]
    with database:
        made = ((number, 1.7e9 + number) for number in range(MANY))
        database.executemany(row, ((f"{n * (2**128 // MANY):032x}", f"talk {n}", f"/p{n % 100}", at, at) for n, at in made))
    database.close()
