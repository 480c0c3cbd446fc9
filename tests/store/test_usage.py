"""The sums of requests: exact, by whatever they are asked for, and not less when a session is erased."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.index import index_change
from agentd.ports import UsageChange, UsageFilter, UsageKey, day_of
from agentd.store import erasing, usage
from agentd.store.derived import rebuild
from agentd.store.migrations import STEPS, upgrade
from agentd.store.repair.repair import repair
from agentd.store.sqlite import connect
from agentd.store.transaction import opened, transaction
from agentwire import events as ev
from agentwire.types import Text, Usage, UsageRow
from tests.core.logs import created
from tests.store.damage import NOW, Log, problems

DAY = 86400.0
ALL = UsageFilter()


def reply(model: str = "m", tokens: int = 10, cost: float | None = 0.001, *, estimated: bool = False) -> ev.AssistantMessage:
    used = Usage(input=tokens, output=tokens // 2, cached=tokens // 4, reasoning=1)
    return ev.AssistantMessage(
        turn=1, step=0, model=model, parts=(Text(text="x"),), stop="end", usage=used, cost=cost, estimated=estimated
    )


def rows(db: apsw.Connection, by: UsageKey, which: UsageFilter = ALL) -> dict[str, tuple[int, float | None, int]]:
    return {row.key: (row.requests, row.cost, row.usage.input) for row in usage.summed(db, by, which, 100)}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Two sessions on two days, with two models."""
    log = Log(tmp_path / "agentd.db")
    for session in ("s", "t"):
        log.append(session, created(), ev.SessionRenamed(title=f"about {session}"))
    log.append("s", reply(), reply("n", 100, 0.5))
    log.append("t", reply(cost=None), reply(estimated=True))
    log.at += DAY
    log.append("s", reply(), reply())
    return log


def test_sums_by_whatever_is_asked_for(log: Log) -> None:
    """Days newest first, others what cost most first; what has no price and what is estimated is counted apart."""
    db = log.database.db
    assert list(rows(db, "day").items()) == [("2027-01-16", (2, 0.002, 20)), ("2027-01-15", (4, 0.502, 130))]
    assert list(rows(db, "session").items()) == [("s", (4, 0.503, 130)), ("t", (2, 0.001, 20))]
    assert list(rows(db, "model").items()) == [("n", (1, 0.5, 100)), ("m", (5, 0.004, 50))]
    assert rows(db, "user") == {"ann": (6, 0.504, 150)}
    (whole,) = usage.summed(db, "all", ALL, 10)
    used = Usage(input=150, output=75, cached=35, reasoning=6)
    assert whole == UsageRow(key="", requests=6, usage=used, cost=0.504, unpriced=1, estimated=1)
    assert [row.title for row in usage.summed(db, "session", ALL, 10)] == ["about s", "about t"]
    assert len(usage.summed(db, "session", ALL, 1)) == 1


def test_conditions_hold_together(log: Log) -> None:
    """A user, a session, days from and to, both included; where nothing is left there is no row."""
    db, first = log.database.db, day_of(NOW)
    assert rows(db, "model", UsageFilter(session="s", since=first + 1)) == {"m": (2, 0.002, 20)}
    assert rows(db, "day", UsageFilter(user="ann", until=first)) == {"2027-01-15": (4, 0.502, 130)}
    for nothing in (UsageFilter(user="bob"), UsageFilter(session="x"), UsageFilter(since=first + 2)):
        assert usage.summed(db, "all", nothing, 10) == []


def test_what_is_erased_stays_in_the_sums_of_days_and_users(log: Log) -> None:
    """Under no session's name. The log is sound, and what is made anew leaves these rows alone."""
    db, days = log.database.db, rows(log.database.db, "day")
    log.append("user:ann", ev.SessionDeleted(session="s"), erase="s")
    log.append("user:ann", ev.SessionDeleted(session="t"), erase="t")
    assert rows(db, "day") == days and list(rows(db, "session")) == [""] and problems(log.path) == []
    assert not usage.of_session(db, "s") and rows(db, "user") == {"ann": (6, 0.504, 150)}
    with transaction(db):
        rebuild(db, index_change, ["s", "t"])
    assert rows(db, "day") == days


def test_wrong_sums_are_found_and_made_anew(log: Log) -> None:
    """Changed, lost, or of a session that does not exist; in either case by name, as something that can be made anew."""
    db, before = log.database.db, rows(log.database.db, "session")
    db.execute("UPDATE usage SET cost = cost + 1 WHERE session = 's' AND model = 'm'")
    db.execute("DELETE FROM usage WHERE session = 't'")
    db.execute("UPDATE usage SET session = 'nobody' WHERE model = 'n'")
    found = problems(log.path)
    assert sum("the sums of its requests" in problem for problem in found) == 2
    assert sum("nobody: it has sums of requests but no events" in problem for problem in found) == 1
    with transaction(db):
        rebuild(db, index_change, ["s", "t", "nobody"])
    assert problems(log.path) == [] and rows(db, "session") == before


def test_what_was_asked_before_there_were_sums_is_counted(log: Log, tmp_path: Path) -> None:
    """By the migration, without a cost: as the events of that time say. A damaged one is passed over."""
    path = str(tmp_path / "old.db")
    db = connect(path)
    upgrade(db, STEPS[:4])
    rows_of = {name: log.database.db.execute(f"SELECT * FROM {name}").fetchall() for name in ("stream", "event")}
    for name, found in rows_of.items():
        db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(found[0]))})", found)
    db.execute("UPDATE event SET data = x'00' WHERE kind = 'assistant_message' AND pos = (SELECT max(pos) FROM event)")
    upgrade(db)
    (whole,) = usage.summed(db, "all", ALL, 10)
    assert whole.requests == whole.unpriced == 5 and whole.cost is None and whole.usage.input == 140
    assert sorted(rows(db, "session")) == ["s", "t"] and list(rows(db, "day")) == ["2027-01-16", "2027-01-15"]


def test_a_migrated_log_is_sound(tmp_path: Path) -> None:
    """The rows that the migration makes are those that a check makes of the same events: they had no cost."""
    path = tmp_path / "agentd.db"
    log = Log(path)
    log.append("s", created(), reply(cost=None), reply("n", cost=None))
    db = log.database.db
    db.execute("DROP TABLE usage")
    db.pragma("user_version", 4)
    upgrade(db, STEPS[:5])
    db.pragma("user_version", len(STEPS))
    assert problems(path) == []


def test_a_backup_of_an_older_schema_can_be_erased_from(log: Log) -> None:
    """It has no sums."""
    backup = log.backup()
    with opened(backup) as db:
        db.execute("DROP TABLE usage")
        db.pragma("user_version", 4)
    assert erasing.erase_from_backup(backup, {"s"}) == 1
    with opened(backup) as db:
        assert db.execute("SELECT name FROM stream").fetchall() == [("t",)]


def test_a_repair_recalls_what_erased_sessions_have_cost(log: Log, tmp_path: Path) -> None:
    """Deleted before the backup, after it, and begun and deleted since: the days cost what they did."""
    log.append("user:ann", ev.SessionDeleted(session="t"), erase="t")
    log.backup()
    log.append("u", created(), reply("late", 400, 2.0))
    log.append("user:ann", ev.SessionDeleted(session="s"), erase="s")
    log.append("user:ann", ev.SessionDeleted(session="u"), erase="u")
    days, models = rows(log.database.db, "day"), rows(log.database.db, "model")
    path = str(log.leave(tmp_path / "left"))
    repair(path, index_change, NOW, "tested")
    with opened(path) as db:
        assert rows(db, "day") == days and rows(db, "model") == models and list(rows(db, "session")) == [""]


_changes = st.builds(
    UsageChange,
    model=st.sampled_from(["m", "n"]),
    usage=st.builds(Usage, input=st.integers(0, 10**6), output=st.integers(0, 10**5), cached=st.integers(0, 100)),
    cost=st.none() | st.floats(0, 100).map(lambda cost: round(cost, 9)),
    estimated=st.booleans(),
)
_requests = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["s", "t", "u"]), st.integers(0, 3), _changes))


@given(_requests, st.lists(st.sampled_from(["s", "t", "u"]), max_size=2))
def test_sums_are_exact_in_any_order(requests: list[tuple[str, str, int, UsageChange]], erased: list[str]) -> None:
    """To the nano-dollar, whatever was erased in between or after."""
    db = apsw.Connection(":memory:")
    upgrade(db)
    expected: dict[str, list[Any]] = defaultdict(lambda: [0, 0, 0])
    for number, (user, session, day, change) in enumerate(requests):
        usage.count(db, user, day * DAY + 5, session, change)
        if number < len(erased):
            usage.keep_sums(db, erased[number])
        total = expected[user]
        total[0] += 1
        total[1] += round((change.cost or 0) * 10**9)
        total[2] += change.usage.input
    found = {key: [count, round((cost or 0) * 10**9), tokens] for key, (count, cost, tokens) in rows(db, "user").items()}
    assert found == dict(expected)
    db.close()
