"""Events of a damaged log: all that are whole, each as it was written, whatever else is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from agentd.store import blob
from agentd.store.repair.pages import Pages
from agentd.store.repair.salvage import Found, Salvage
from tests.store.damage import Log, Truth, flip, lived, truth
from tests.store.running import noise


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


@contextmanager
def salvaged(path: Path, **sessions: str) -> Iterator[Salvage]:
    scratch = apsw.Connection(":memory:")
    with Pages(str(path)) as pages:
        yield Salvage(pages, scratch, {}, sessions)
    scratch.close()


def as_truth(events: list[Found]) -> Truth:
    found: dict[str, list[tuple[object, ...]]] = {}
    for event in sorted(events, key=lambda event: (event.stream, event.seq)):
        found.setdefault(event.stream, []).append((event.user, event.seq, event.kind, event.at, event.body))
    return found


def test_everything_comes_in_the_order_of_the_log(log: Log, tmp_path: Path) -> None:
    """From a file that is whole, and its write-ahead log: no event more or less."""
    with salvaged(log.leave(tmp_path / "left")) as salvage:
        events = list(salvage.events())
    assert as_truth(events) == truth(log.path) and [event.pos for event in events] == sorted(event.pos for event in events)


def test_streams_whose_names_are_lost_are_known_by_their_sums(log: Log, tmp_path: Path) -> None:
    """The sessions' ids are tried; what belongs to no session stays unknown."""
    log.database.db.execute("DELETE FROM stream")
    sessions = dict.fromkeys(("x", "a" * 32, "b" * 32, "d" * 32), "ann")
    with salvaged(log.leave(tmp_path / "left"), **sessions) as salvage:
        found = as_truth(list(salvage.events()))
    assert set(found) == {"a" * 32, "b" * 32, "d" * 32} and len(found["d" * 32]) == 31


def test_a_changed_event_is_not_found(log: Log, tmp_path: Path) -> None:
    """One letter is enough."""
    whole = truth(log.path)
    log.database.db.execute("UPDATE event SET kind = 'turn_starteD' WHERE pos = 3")
    with salvaged(log.leave(tmp_path / "left")) as salvage:
        found = as_truth(list(salvage.events()))
    lost = [(stream, row) for stream, rows in whole.items() for row in rows if row not in found[stream]]
    assert len(lost) == 1


def test_events_behind_a_break_of_the_write_ahead_log_are_found(log: Log, tmp_path: Path) -> None:
    """With their long rows, whose pages are behind the break, too."""
    path = log.leave(tmp_path / "left")
    flip(Path(f"{path}-wal"), range(32))
    with salvaged(path) as salvage:
        found = {(event.stream, event.seq): event.body for event in salvage.events()}
        name = blob.address(noise(20_000, 5).encode())
        assert salvage.blob(name) is not None and salvage.blob("0" * 64) is None
    assert len(found) == sum(map(len, truth(log.path).values()))


def test_a_blob_is_what_its_name_says_or_nothing(log: Log, tmp_path: Path) -> None:
    """Damaged content is not given under a name that promises other content."""
    name = blob.address(noise(9000, 9).encode())
    path = log.leave(tmp_path / "left")
    with salvaged(path) as salvage:
        assert salvage.blob(name) is not None
    log.database.db.execute("UPDATE blob SET data = x'00' || CAST(substr(data, 2) AS BLOB) WHERE sha256 = ?", (name,))
    with salvaged(log.leave(tmp_path / "changed")) as salvage:
        assert salvage.blob(name) is None
