"""The power fails at any moment of a turn with tools: the next start finds everything that was acknowledged, and nothing half."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

import apsw
import pytest
import trio

from tests.faults.disk import Disk
from tests.faults.life import EVERY, Life, struck
from tests.faults.vfs import Fault, faulty

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def outlived(life: Life, disk: Disk, folder: Path, random: Random, *, chosen: float, rests: float) -> int:
    """Check the images of a life; a share of them is also taken up by the next start, to its end. How many there were."""
    number = 0
    for number, image in enumerate(disk.images(random, (0.0, 0.5, 0.9, 1.0), chosen), 1):
        here = folder / f"{number}"
        image.lay_out(here)
        after = Life(str(here / "agentd.db"), life.promised[: image.promised], Counter([*life.effects][: image.effects]))
        try:
            after.inspect()
            if random.random() < rests:
                with faulty():
                    trio.run(after.come_to_rest)
        except BaseException as error:
            error.add_note(image.what)
            raise
        shutil.rmtree(here)
    return number


@pytest.mark.parametrize("seed", range(2))
def test_whenever_the_power_fails(tmp_path: Path, seed: int) -> None:
    """Whatever is there of what was not synced: every acknowledged event is, the file is sound, the turn goes on."""
    life = Life(str(tmp_path / "agentd.db"))
    disk = Disk(life.promised, life.effects)
    with faulty(ears=disk) as gate:
        assert trio.run(struck, life, gate) == "untouched"
    assert outlived(life, disk, tmp_path, Random(seed), chosen=1 / EVERY, rests=0.2) >= len(disk.deeds) * 4 / EVERY / 2


@pytest.mark.parametrize("forgetful", [False, True])
def test_after_a_sync_that_failed(tmp_path: Path, forgetful: bool) -> None:
    """What it was to write is lost though later ones succeed, and can be read back, or not: the daemon ends, the next start goes
    on, and when the power fails then, nothing is missing that either of them acknowledged."""
    random = Random(1)
    for number in count(0, max(1, EVERY // 5)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        life = Life(str(folder / "agentd.db"))
        disk = Disk(life.promised, life.effects, forgetful)
        with faulty(Fault("sync", number, apsw.SQLITE_IOERR_FSYNC), disk) as gate:
            state = trio.run(struck, life, gate)
        assert state != "through", f"sync {number} failed, and the log was written on"
        with faulty(ears=disk):
            trio.run(life.come_to_rest)
        outlived(life, disk, folder, random, chosen=0.1, rests=0.05)
        if not gate.failures:
            return
