"""Every operation of a turn with tools on its files fails, once or for good: the rules hold, and the next start is whole."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import evolve

from tests.faults.life import EVERY, Life, struck
from tests.faults.vfs import Fault, faulty

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ALL, A_WHILE = float("inf"), 25
"""Operations that fail: from the chosen one on, or so many that several attempts fail before the disk has space again."""


def strike_each(folder: Path, fault: Fault) -> Counter[str]:
    """A life for every `number` that there is; how they went. Each comes to rest on a sound disk afterwards."""
    states: Counter[str] = Counter()
    for number in count(fault.number, EVERY):
        life = Life(str(folder / f"{number}.db"))
        with faulty(evolve(fault, number=number)) as gate:
            state = trio.run(struck, life, gate)
        try:
            with faulty():
                trio.run(life.come_to_rest)
        except BaseException as error:
            error.add_note(f"{gate.fault}: {state}")
            raise
        states[state] += 1
        if not gate.failures:
            return states
    raise AssertionError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for space is tried again at once."""
    monkeypatch.setattr("agentd.store.log._RETRY", 0.002)


@pytest.mark.parametrize("times", [1, ALL])
@pytest.mark.parametrize(
    ("operation", "code", "part"),
    [
        ("write", apsw.SQLITE_IOERR_WRITE, 0.0),
        ("write", apsw.SQLITE_IOERR_WRITE, 0.5),
        ("sync", apsw.SQLITE_IOERR_FSYNC, 0.0),
        ("truncate", apsw.SQLITE_IOERR_TRUNCATE, 0.0),
        ("open", apsw.SQLITE_CANTOPEN, 0.0),
        ("delete", apsw.SQLITE_IOERR_DELETE, 0.0),
    ],
)
def test_a_broken_disk(tmp_path: Path, operation: Any, code: int, part: float, times: float) -> None:
    """The daemon does not come up, or every waiter is told and it ends; never does it go on as if nothing had been."""
    states = strike_each(tmp_path, Fault(operation, 0, code, times, part))
    assert states.keys() <= {"unopened", "failed", "untouched"}
    assert states["failed"] or operation in ("open", "delete") or EVERY > 1


@pytest.mark.parametrize("times", [1, A_WHILE])
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_full_disk(tmp_path: Path, part: float, times: float) -> None:
    """Whoever may be refused is refused, what has happened is kept and written when there is space: every turn comes through."""
    states = strike_each(tmp_path, Fault("write", 0, apsw.SQLITE_FULL, times, part))
    assert states.keys() == {"unopened", "through", "untouched"}


@pytest.mark.parametrize("times", [1, A_WHILE])
@pytest.mark.parametrize("code", [apsw.SQLITE_IOERR_READ, apsw.SQLITE_CORRUPT])
def test_a_page_that_cannot_be_read(tmp_path: Path, code: int, times: float) -> None:
    """The writer ends with it; whoever only wanted to read gets an error and may ask again, and the daemon goes on."""
    states = strike_each(tmp_path, Fault("read", 0, code, times))
    assert {"failed", "through"} <= states.keys() or EVERY > 1
