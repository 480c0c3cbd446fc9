"""Whatever is destroyed of a log: it opens, it is sound, every stream is a beginning of what it was, and nothing is silently less.

The files are those that a killed daemon leaves, with a backup and without, checkpointed and not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from attrs import frozen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.opening import open_sound
from agentd.store.repair.pages import read_wal
from tests.faults.life import EVERY
from tests.store.damage import NOW, Truth, flip, lived, prefixes, problems, truth
from tests.store.running import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LATER = NOW + 5000
PAGE = 4096


@frozen
class Left:
    """A folder with what a kill has left, what it said, and what must be there whatever happens."""

    folder: Path
    whole: Truth
    least: Truth

    def copy(self, target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder, target)
        return target / "agentd.db"


class Clock:
    def now(self) -> float:
        return LATER


@pytest.fixture(scope="module", params=["file", "file, no backup", "wal"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("lived")
    log = lived(folder / "agentd.db", with_backup="no backup" not in request.param)
    if "file" in request.param:
        log.database.db.pragma("wal_checkpoint", "TRUNCATE")
    else:  # so that there is enough in it
        for number in range(8, 11):
            log.turn("d" * 32, number, "more")
    path = log.leave(folder / "left")
    backups = files.backups(str(path), LATER)
    yield Left(path.parent, truth(log.path), truth(backups[0]) if backups else {})
    log.database.db.close()


def survives(left: Left, path: Path, damage: Callable[[Path], object]) -> None:
    """Damage a copy and open it as a daemon does."""
    path = left.copy(path)
    damage(path)
    if wal(path).exists():
        os.utime(wal(path), (LATER, LATER))  # the machine has not lost its power since: what is torn is damage
    notices = trio.run(_open, str(path))
    found = truth(path)
    prefixes(found, left.whole, left.least)
    assert problems(path) == []
    lost = sum(map(len, left.whole.values())) - sum(map(len, found.values()))
    assert not lost or notices, f"{lost} events are silently missing"


async def _open(path: str) -> tuple[str, ...]:
    async with open_sound(path, index_change, Clock()) as (store, soundness), running(store):
        await store.start_boot("next")
        return soundness.notices


def wal(path: Path) -> Path:
    return Path(f"{path}-wal")


def itself(path: Path) -> Path:
    return path


def flipped(at: int, which: Callable[[Path], Path] = itself) -> Callable[[Path], object]:
    return lambda path: flip(which(path), [at])


def overwritten(at: int, content: bytes, which: Callable[[Path], Path] = itself) -> Callable[[Path], object]:
    return lambda path: overwrite(which(path), at, content)


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: os.truncate(path, size)


# --- every page ---------------------------------------------------------------------------------------------------------------


def test_a_byte_of_every_page(left: Left, tmp_path: Path) -> None:
    """Its kind, its number of cells, its first pointers, its middle, its end: one byte after the other."""
    for page in range((left.folder / "agentd.db").stat().st_size // PAGE):
        for place in (0, 4, 9, 2000, PAGE - 5):
            survives(left, tmp_path / "x", flipped(page * PAGE + place))


def test_every_page_whole(left: Left, tmp_path: Path) -> None:
    """As zeros and as noise: header and schema, inner pages and leaves, indices, overflow, free pages."""
    for page in range((left.folder / "agentd.db").stat().st_size // PAGE):
        for content in (bytes(PAGE), os.urandom(PAGE)):
            survives(left, tmp_path / "x", overwritten(page * PAGE, content))


def overwrite(path: Path, at: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


def test_cut_off_at_every_page(left: Left, tmp_path: Path) -> None:
    """And in the middle of one; nothing at all is the next test's."""
    for size in range(PAGE, (left.folder / "agentd.db").stat().st_size, PAGE):
        for more in (0, 100):
            survives(left, tmp_path / "x", cut(size + more))


def test_every_byte_of_the_header(left: Left, tmp_path: Path) -> None:
    """Also where it then claims something else that could be. (A version up to 1000 is believed: a newer release's.)"""
    for at in [place for place in range(100) if place not in (62, 63)]:
        survives(left, tmp_path / "x", flipped(at))


def test_the_write_ahead_log_in_noise_in_pieces_or_gone(left: Left, tmp_path: Path) -> None:
    """A byte of every frame, its header, all of it."""
    whole = wal(left.folder / "agentd.db").read_bytes()
    size = len(whole)
    frames = (max(read_wal(whole).committed.values(), default=0) - 32) // (PAGE + 24) + 1
    for frame in range(0, max(frames - 8, 0), EVERY):  # the last commit torn: what a power loss leaves of one unheard of
        for place in (4, 9, 18, 3000):
            at = 32 + frame * (PAGE + 24) + place
            survives(left, tmp_path / "x", flipped(at, wal))
    for content in (os.urandom(size), os.urandom(32) + b"x" * size):
        survives(left, tmp_path / "x", overwritten(0, content, wal))
    survives(left, tmp_path / "x", lambda path: wal(path).unlink())


def test_nothing_is_left_but_the_backup(left: Left, tmp_path: Path) -> None:
    """An empty file, noise, no file but a write-ahead log. Without a backup an empty file is a log that was never begun."""
    size = (left.folder / "agentd.db").stat().st_size
    survives(left, tmp_path / "x", lambda path: path.write_bytes(os.urandom(size)))
    if wal(left.folder / "agentd.db").stat().st_size:
        survives(left, tmp_path / "x", lambda path: path.unlink())
    if left.least:
        survives(left, tmp_path / "x", lambda path: os.truncate(path, 0))


# --- any range -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0x00, 0x01, 0x80, 0xFF]), st.booleans())
@example(0.0, 1.0, 0x00, True)
def test_any_range_of_bytes(left: Left, tmp_path: Path, start: float, length: float, mask: int, both: bool) -> None:
    """Of the file, or of both files, flipped or (mask 0) zeroed; short ranges and all of it."""

    def destroy(path: Path) -> None:
        for each in (path, wal(path)) if both and mask == 0 else (path,):
            size = each.stat().st_size
            begin, end = int(start * size), min(int(start * size) + int(length**4 * size) + 1, size)
            if mask:
                flip(each, range(begin, end), mask)
            else:
                overwrite(each, begin, bytes(end - begin))

    survives(left, tmp_path / "x", destroy)
