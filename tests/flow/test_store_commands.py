"""`agentctl store` on the real daemon: while it runs, while it restarts, and where it cannot start."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentd.store.migrations import STEPS
from agentwire.errors import CursorExpired, InternalError
from tests.client.cli import Answer, agentctl
from tests.fakes.history import ends, gap_free
from tests.fakes.real import Daemon, Home, Models, eventually, rule, say
from tests.store.damage import flip, problems, truth

pytestmark = pytest.mark.slow

RULES = [rule("slowly", {"verb": "tokens", "count": 2000, "delay": 0.02}), rule("", say("Well."))]
OLD = Path(__file__).parent.parent / "store/fixtures/schema-1.db"


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="0.2") as home:
        yield home


@pytest.fixture
def daemon(home: Home, models: Models) -> Daemon:
    return home.start(models)


def command(home: Home, *arguments: str, log_level: str = "info") -> Answer:
    return agentctl(home.path, "store", *arguments, LOG_LEVEL=log_level)


async def talk(daemon: Daemon, text: str = "hello", session: str = "") -> str:
    """A turn from beginning to end; its session."""
    async with daemon.connect() as peer:
        session = session or (await peer.call("session/create", cwd="/"))["id"]
        await peer.call("session/watch", session=session)
        await peer.prompt(session, text)
        await peer.until("turn_finished")
    return session


def kept(home: Home, pattern: str) -> list[Path]:
    """Logs that are kept under this name."""
    return [file for file in home.data.glob(pattern) if not file.name.endswith(("-wal", "-shm"))]


async def sessions(daemon: Daemon) -> set[str]:
    async with daemon.connect() as peer:
        return {info["id"] for info in (await peer.call("session/list"))["sessions"]}


async def warnings(daemon: Daemon) -> list[str]:
    async with daemon.connect() as peer:
        found: list[str] = (await peer.call("daemon/status"))["warnings"]
        return found


# --- while it runs --------------------------------------------------------------------------------------------------------------


async def test_everything_can_be_asked_while_it_runs(home: Home, daemon: Daemon) -> None:
    """One document each with --json, a few lines without; exit 0."""
    await talk(daemon)
    assert command(home, "info", "--json").document["events"] == 5
    assert "1 session, 5 events" in command(home, "info").out
    assert command(home, "check", "--full", "--json").document["problems"] == []
    assert command(home, "check").out.startswith("no problems")
    made = command(home, "backup", "--json").document
    assert problems(made["path"]) == [] and os.stat(made["path"]).st_mode & 0o777 == 0o600
    assert command(home, "info", "--json").document["backups"] == [made]
    assert set(command(home, "vacuum", "--json").document) == {"before", "after"}
    assert command(home, "backup", made["path"]).code == 1


async def test_a_check_that_finds_something_is_exit_1_and_the_next_start_repairs(
    home: Home, daemon: Daemon, models: Models
) -> None:
    """Each problem a line; the daemon goes on until it is restarted; then everything is there again, from the backup."""
    session = await talk(daemon)
    await daemon.stop()
    home.sql("UPDATE event SET at = 1 WHERE seq = 3")
    daemon = home.start(models)
    found = command(home, "check")
    assert found.code == 1 and found.out == f"stream {session}: event 3: it is not what was written\n"
    assert command(home, "check", "--json").code == 1
    await daemon.stop()
    daemon = home.start(models)
    assert "Missing are the last events of" in (await warnings(daemon))[0] and "Missing are" in home.stderr
    assert command(home, "check", "--full").code == 0


async def test_a_backup_has_nothing_of_what_was_deleted(home: Home, daemon: Daemon) -> None:
    """Soon after the deletion."""
    deleted, other = await talk(daemon), await talk(daemon)
    backup = command(home, "backup", "--json").document["path"]
    assert set(truth(backup)) == {deleted, other}
    async with daemon.connect() as peer:
        await peer.call("session/delete", session=deleted)
    await eventually(lambda: "erased_from_backups" in home.log, "the erasure")
    assert set(truth(backup)) == {other} and problems(backup) == []


async def test_damage_that_is_only_read_is_the_sessions_problem(home: Home, daemon: Daemon, models: Models) -> None:
    """An error for whoever asks for it, others go on; the next start repairs it from the backup, without a loss."""
    damaged, sound = await talk(daemon), await talk(daemon)
    before = await log_of(daemon, damaged)
    command(home, "backup")
    await daemon.stop()
    home.sql("UPDATE event SET data = '{}' WHERE seq = 3 AND stream = (SELECT id FROM stream WHERE name = ?)", damaged)
    daemon = home.start(models)
    with pytest.raises(InternalError):
        await log_of(daemon, damaged)
    await talk(daemon, session=sound)
    await daemon.stop()
    daemon = home.start(models)
    assert "was damaged" in (await warnings(daemon))[0]
    assert await log_of(daemon, damaged) == before and len(await log_of(daemon, sound)) == 9


async def log_of(daemon: Daemon, session: str) -> list[dict[str, Any]]:
    async with daemon.connect() as peer:
        return await peer.log(session)


# --- restore --------------------------------------------------------------------------------------------------------------------


async def test_a_restore_brings_back_what_was(home: Home, daemon: Daemon) -> None:
    """The daemon restarts on its socket; what came after the backup is kept in a file; cursors beyond it are told so."""
    first = await talk(daemon)
    backup = command(home, "backup", "--json").document
    await talk(daemon, session=first)
    second = await talk(daemon)
    done = command(home, "restore", "--json")
    assert done.document["backup"] == backup, done.err
    assert await sessions(daemon) == {first} and set(truth(done.document["kept"])) == {first, second}
    async with daemon.connect() as peer:
        with pytest.raises(CursorExpired):
            await peer.call("session/watch", session=first, after=9)
        gap_free(await peer.log(first))
    assert "was restored from" in (await warnings(daemon))[0]
    await talk(daemon, session=first)
    assert command(home, "check", "--full").code == 0


async def test_a_turn_of_the_backup_does_not_go_on(home: Home, daemon: Daemon) -> None:
    """What it did after the backup has happened: it must not happen again. It ends, and the session can be used."""
    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        await peer.call("session/watch", session=session)
        await peer.prompt(session, "slowly")
        await peer.until("delta")
        command(home, "backup")
        await peer.call("session/cancel", session=session)
        await peer.until("turn_finished")
    assert command(home, "restore").code == 0
    async with daemon.connect() as peer:
        after = (await peer.call("session/watch", session=session))["seq"]
        log = await peer.log(session)
        while not ends(log):
            log.append(await peer.event())
    assert ends(log) == {1: "interrupted"} and after
    await talk(daemon, session=session)


@pytest.mark.parametrize("moment", ["answered", "restarting"])
async def test_killed_in_a_restore_it_is_finished_by_the_next_start(
    home: Home, daemon: Daemon, models: Models, moment: str
) -> None:
    """Once it was decided; the old log is kept once. (Each rename by itself: tests/store/test_files.py.)"""
    first = await talk(daemon)
    command(home, "backup")
    second = await talk(daemon)
    async with daemon.connect() as peer:
        await peer.call("store/restore")
        if moment == "restarting":
            await eventually(lambda: bool(list(home.data.glob("*.before-restore-*"))), "the renaming")
        daemon.kill()
    daemon = home.start(models)
    assert await sessions(daemon) == {first}
    assert [set(truth(file)) for file in kept(home, "agentd.db.before-restore-*")] == [{first, second}]
    assert not list(home.data.glob("agentd.db.next*")) and not list(home.data.glob("*.part"))


async def test_what_is_no_backup_is_refused_and_nothing_restarts(home: Home, daemon: Daemon) -> None:
    """Noise is wrong usage (2), a file that is not there an error (1), one of a newer release a configuration error (78)."""
    session = await talk(daemon)
    newer = home.path / "newer.db"
    shutil.copy(command(home, "backup", "--json").document["path"], newer)
    flip(newer, [63], 0x40)
    noise = home.write("noise", "noise" * 1000)
    codes = [command(home, "restore", str(path)).code for path in (noise, home.path / "none", newer)]
    assert codes == [2, 1, 78] and await sessions(daemon) == {session} and daemon.process.poll() is None


async def test_where_the_daemon_cannot_start_it_restores_all_the_same(home: Home, daemon: Daemon, models: Models) -> None:
    """Here its configuration is wrong; the lock keeps a second one away meanwhile."""
    session = await talk(daemon)
    command(home, "backup")
    await daemon.stop()
    for file in home.data.glob("agentd.db*"):
        file.write_bytes(b"noise" * 1000)
    done = command(home, "restore", "--json", log_level="loud")
    assert done.code == 0, done.err
    assert kept(home, "agentd.db.before-restore-*")[0].read_bytes() == b"noise" * 1000
    assert await sessions(home.start(models)) == {session}


# --- schemas --------------------------------------------------------------------------------------------------------------------


async def test_a_file_of_the_first_schema_is_brought_up_to_date(home: Home, models: Models) -> None:
    """Everything in it is there and goes on; the copy from before stays until there is a backup."""
    home.data.mkdir(mode=0o700)
    shutil.copy(OLD, home.data / "agentd.db")
    old = truth(OLD)
    (session,) = old
    daemon = home.start(models)
    before = home.data / f"agentd.db.before-schema-{len(STEPS)}"
    assert [event["kind"] for event in await log_of(daemon, session)] == [row[2] for row in old[session]]
    assert truth(before) == old
    await talk(daemon, session=session)
    assert command(home, "check", "--full").code == 0 and command(home, "info", "--json").document["schema"] == len(STEPS)
    command(home, "backup")
    assert not before.exists()
    await daemon.stop()
    assert await warnings(home.start(models)) == []


async def test_a_backup_of_the_first_schema_can_be_restored(home: Home, daemon: Daemon) -> None:
    """It is brought up to date on the way."""
    (session,) = truth(OLD)
    assert command(home, "restore", str(OLD)).code == 0
    assert await sessions(daemon) == {session}
    await talk(daemon, session=session)
    assert command(home, "check", "--full").code == 0
