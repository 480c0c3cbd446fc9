"""The ledger: what it says of every call is what the events say, whoever asks and however it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.index import index_change
from agentd.ports import CallFilter, CallSums
from agentd.store import calls, erasing
from agentd.store.derived import rebuild
from agentd.store.migrations import STEPS, upgrade
from agentd.store.repair.repair import repair
from agentd.store.sqlite import connect
from agentd.store.transaction import opened, transaction
from agentwire import events as ev
from agentwire.types import CallRecord, Text
from tests.core.logs import accepted, asked, begun, created, ended, planned, replied, started
from tests.store.damage import NOW, Log, problems

ALL = CallFilter()
S, T = "a" * 32, "b" * 32


def tool(call: str, name: str, session: str = "", rule: str = "") -> ev.ToolPlanned:
    return evolve(planned(call), name=name, session=session, rule=rule, arguments_json='{"n": 1}')


def over(call: str, outcome: Any = "ok", seconds: float = 0.5) -> ev.ToolFinished:
    return ev.ToolFinished(turn=1, call=call, outcome=outcome, parts=(Text(text="x"),), seconds=seconds)


def told(db: apsw.Connection, which: CallFilter = ALL, before: int | None = None, limit: int = 50) -> list[str]:
    return [f"{one.call} {one.outcome or one.state}" for one in calls.listed(db, "ann", which, before, limit)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Two sessions with calls at every stage, and two that a person made."""
    log = Log(tmp_path / "agentd.db")
    for session in (S, T):
        log.append(session, created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0", "c1")))
    log.append(S, tool("c0", "look", rule="allow look"), begun("c0"), tool("c1", "pay"), asked("c1"))
    log.append(S, over("c0", seconds=1.5))
    log.append(T, tool("c0", "look"), over("c0", "denied", 0.0), tool("c1", "look"), begun("c1"))
    log.append("user:ann", evolve(tool("d0", "pay", S), turn=0), begun("d0"))
    log.append("user:ann", over("d0", "error"), evolve(tool("d1", "look"), turn=0))
    return log


def test_a_call_is_told_as_it_was_planned_and_as_it_went(log: Log) -> None:
    """With its times, its arguments and the rule that let it run; one that a person made for a session names it, with turn 0."""
    newest, direct, *_, first = calls.listed(log.database.db, "ann", ALL, None, 50)
    assert first == CallRecord(
        pos=first.pos,
        session=S,
        turn=1,
        call="c0",
        name="look",
        arguments_json='{"n": 1}',
        state="over",
        outcome="ok",
        planned_at=NOW + 3,
        started_at=NOW + 3,
        finished_at=NOW + 4,
        seconds=1.5,
        rule="allow look",
    )
    assert (direct.session, direct.turn, direct.outcome) == (S, 0, "error")
    assert (newest.session, newest.state, newest.started_at) == ("", "planned", None)


def test_conditions_hold_together_and_pages_meet(log: Log) -> None:
    """Newest first; `open` is what has no outcome yet; a session's calls are also those that people made for it."""
    db = log.database.db
    everything = told(db)
    assert everything == ["d1 planned", "d0 error", "c1 started", "c0 denied", "c1 waiting", "c0 ok"]
    assert told(db, CallFilter(session=S)) == ["d0 error", "c1 waiting", "c0 ok"]
    assert told(db, CallFilter(tool="pay")) == ["d0 error", "c1 waiting"]
    assert told(db, CallFilter(outcome="open")) == ["d1 planned", "c1 started", "c1 waiting"]
    assert told(db, CallFilter(outcome="open", session=S, tool="pay")) == ["c1 waiting"]
    assert told(db, CallFilter(outcome="denied")) == ["c0 denied"] and told(db, CallFilter(since=NOW + 7)) == ["d1 planned"]
    paged, before = list[str](), None
    while page := calls.listed(db, "ann", ALL, before, 4):
        paged, before = [*paged, *(f"{one.call} {one.outcome or one.state}" for one in page)], page[-1].pos
    assert paged == everything and calls.listed(db, "bob", ALL, None, 50) == []


def test_sums_of_each_tool(log: Log) -> None:
    """Errors and denials apart, of one user."""
    found = {one.name: one for one in calls.summed(log.database.db, "ann")}
    assert found["look"] == CallSums("look", 4, 0, 1, 1.5, NOW + 7) and found["pay"] == CallSums("pay", 2, 1, 0, 0.5, NOW + 6)
    assert calls.summed(log.database.db, "bob") == []


def test_open_calls_of_people_are_found(log: Log) -> None:
    """For the next start; those of sessions are their turns' business."""
    assert calls.direct(log.database.db) == [("ann", "d1", False)]
    log.append("user:ann", begun("d1"))
    assert calls.direct(log.database.db) == [("ann", "d1", True)]


def test_an_id_that_is_used_again_is_another_call(log: Log) -> None:
    """Some model hosts count from nought in every reply: what happens is the newest one's."""
    log.append(S, tool("c0", "look"), begun("c0"))
    assert told(log.database.db, CallFilter(session=S, tool="look")) == ["c0 started", "c0 ok"]
    log.append(S, over("c0", "error"))
    assert told(log.database.db, CallFilter(session=S, tool="look")) == ["c0 error", "c0 ok"] and problems(log.path) == []


def test_a_session_takes_its_calls_with_it(log: Log) -> None:
    """Those that people made for it are in their own stream, and stay; so does a sound log. An older backup has no ledger."""
    backup = log.backup()
    log.append("user:ann", ev.SessionDeleted(session=S), erase=S)
    assert told(log.database.db) == ["d1 planned", "d0 error", "c1 started", "c0 denied"] and problems(log.path) == []
    with opened(backup) as db:
        db.execute("DROP TABLE call")
        db.pragma("user_version", 6)
    assert erasing.erase_from_backup(backup, {S}) == 1


def test_wrong_rows_are_found_and_made_anew(log: Log) -> None:
    """Changed, lost, or of a stream that does not exist."""
    db, before = log.database.db, told(log.database.db)
    db.execute("UPDATE call SET outcome = 'ok' WHERE outcome = 'denied'")
    db.execute("DELETE FROM call WHERE call = 'd0'")
    db.execute("INSERT INTO call SELECT 999, 77, user, session, call, name, 1, 2, 3, state, outcome, 0 FROM call LIMIT 1")
    assert sum("tool calls" in problem for problem in problems(log.path)) == 3
    with transaction(db):
        rebuild(db, index_change, [S, T, "user:ann"])
    assert problems(log.path) == [] and told(db) == before


def test_calls_before_there_was_a_ledger_are_in_it(log: Log) -> None:
    """By the migration, as a check makes them of the same events."""
    db, before = log.database.db, calls.listed(log.database.db, "ann", ALL, None, 50)
    db.execute("DROP TABLE call")
    db.pragma("user_version", 6)
    upgrade(db, STEPS[:7])
    db.pragma("user_version", len(STEPS))
    assert problems(log.path) == [] and calls.listed(db, "ann", ALL, None, 50) == before


def test_the_migration_passes_over_what_is_damaged(tmp_path: Path, log: Log) -> None:
    """Whoever reads the event will say so."""
    path = str(tmp_path / "old.db")
    db = connect(path)
    upgrade(db, STEPS[:6])
    for name in ("stream", "event"):
        found = log.database.db.execute(f"SELECT * FROM {name}").fetchall()
        db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(found[0]))})", found)
    db.execute("UPDATE event SET data = x'00' WHERE pos = (SELECT min(pos) FROM event WHERE kind = 'tool_planned')")
    upgrade(db)
    assert told(db) == ["d1 planned", "d0 error", "c1 started", "c0 denied", "c1 waiting"]


def test_a_damaged_event_does_not_hide_its_call(log: Log) -> None:
    """What became of it is known all the same."""
    log.database.db.execute("UPDATE event SET data = x'00' WHERE kind = 'tool_planned'")
    assert told(log.database.db)[-1] == "c0 ok" and calls.listed(log.database.db, "ann", ALL, None, 9)[-1].arguments_json == ""


def test_a_repair_makes_the_ledger_of_what_it_has_found(log: Log, tmp_path: Path) -> None:
    """Events behind the backup may get other positions: the calls go with them."""
    log.backup()
    log.append(T, tool("c2", "look"), begun("c2"))
    log.append(T, over("c2"))
    expected = told(log.database.db)
    path = str(log.leave(tmp_path / "left"))
    repair(path, index_change, NOW, "tested")
    with opened(path) as db:
        assert sorted(told(db)) == sorted(expected)
    assert problems(path) == []


_STEPS = st.tuples(
    st.sampled_from([S, T, "user:ann"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["plan", "ask", "begin", "end"]),
    st.booleans(),
)


@given(st.lists(_STEPS, max_size=30))
def test_the_ledger_is_the_same_made_aside(steps: list[tuple[str, str, str, bool]]) -> None:
    """Whatever comes in whatever order and in whatever appends, also what no daemon writes: rows that were kept are rows that are
    made anew."""
    bodies: dict[str, Any] = {"plan": planned, "ask": asked, "begin": begun, "end": ended}
    db = apsw.Connection(":memory:")
    upgrade(db)
    kept = calls.Calls(db)
    aside = {name: calls.Ledger(number, "ann") for number, name in enumerate((S, T, "user:ann"), 1)}
    for pos, (stream, call, what, ends) in enumerate(steps, 1):
        change: Any = index_change(bodies[what](call))
        change = getattr(change, "call", change) if what == "ask" else change
        kept.take(pos, aside[stream].stream, "ann", float(pos), change)
        aside[stream].take(pos, float(pos), change)
        if ends:
            kept.write()
    kept.write()
    assert [calls.of_stream(db, ledger.stream) for ledger in aside.values()] == [ledger.rows for ledger in aside.values()]
    db.close()
