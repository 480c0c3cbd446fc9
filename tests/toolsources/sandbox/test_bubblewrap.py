"""Found, tried out, and never done without in silence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from agentd.ports import Profile, Sandbox
from agentd.spawn import TrioSpawner
from agentd.toolsources.sandbox import bubblewrap
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap
from agentwire.errors import SandboxUnavailable
from tests.fakes.walls import PATH, Place, everything

BROKEN = "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
Install = Callable[[str], None]


@pytest.fixture(name="install")
def _install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a script in bubblewrap's place; "" takes it away."""
    (tmp_path / "bin").mkdir()

    def install(script: str) -> None:
        program = tmp_path / "bin/bwrap"
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setattr(bubblewrap, "programs", lambda: [str(program)] if script else [])

    return install


async def said(walls: Bubblewrap, sandbox: Sandbox | None, script: str = "echo $$") -> str:
    profile = Profile(cwd="/", environment={"PATH": PATH}, sandbox=sandbox, gated=True, silent=True)
    async with TrioSpawner(walls=walls).start(["sh", "-c", script], profile) as process:
        await process.go()
        return (await everything(process)).decode().strip()


async def test_it_is_tried_out(place: Place) -> None:
    """The status says that it works, and which one."""
    walls = Bubblewrap(str(place.root / "cache"))
    assert walls.status().state == "ok"
    await walls.run()
    assert (walls.status().state, walls.status().detail) == ("ok", bubblewrap.programs()[0])


@pytest.mark.parametrize(
    ("script", "problem"),
    [("", "bubblewrap is not installed"), (BROKEN, "No permissions to create"), ("#!/no/such/interpreter\n", "cannot be started")],
)
async def test_required_and_unavailable(tmp_path: Path, install: Install, script: str, problem: str) -> None:
    """Nothing is started, whatever walls were asked for; error and status say what is wrong and what to do."""
    install(script)
    walls = Bubblewrap(str(tmp_path / "cache"))
    for sandbox in (Sandbox(), Sandbox(whole=True, network=True)):
        with pytest.raises(SandboxUnavailable, match=problem) as caught:
            await said(walls, sandbox, f"touch {tmp_path}/ran")
        assert 'sandbox.mode = "off"' in str(caught.value)
    assert not _exists(tmp_path / "ran")
    status = walls.status()
    assert status.state == "unavailable" and problem in status.detail and status.remedy


async def test_what_is_mended_counts_at_once(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again as long as it does not work."""
    install(BROKEN)
    walls = Bubblewrap(str(tmp_path / "cache"))
    with pytest.raises(SandboxUnavailable):
        await said(walls, Sandbox())
    monkeypatch.undo()
    assert await said(walls, Sandbox()) == "2"
    assert walls.status().state == "ok"


async def test_the_second_is_taken_where_the_first_fails(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system's bubblewrap that does not work leaves the one that came with us."""
    real = bubblewrap.programs()
    install(BROKEN)
    monkeypatch.setattr(bubblewrap, "programs", lambda: [str(tmp_path / "bin/bwrap"), *real])
    walls = Bubblewrap(str(tmp_path / "cache"))
    assert await said(walls, Sandbox()) == "2"
    assert walls.status().detail in real


async def test_off(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """By configuration there are no walls; processes are still walled in where that works, and started bare where it does not."""
    mode: list[Literal["required", "off"]] = ["off"]
    walls = Bubblewrap(str(tmp_path / "cache"), lambda: mode[0])
    see = f"cat {tmp_path}/seen; echo $$"
    (tmp_path / "seen").write_text("seen\n")
    assert await said(walls, None, see) == "seen\n2"
    assert walls.status().state == "off"
    install("")
    nowhere = Bubblewrap(str(tmp_path / "cache"), lambda: mode[0])
    assert int((await said(nowhere, None, see)).split()[1]) > 2
    mode[0] = "required"
    with pytest.raises(SandboxUnavailable):
        await said(nowhere, Sandbox())


async def test_without_a_builder() -> None:
    """A spawner that knows no walls starts nothing that needs them."""
    with pytest.raises(SandboxUnavailable, match="true is to run in a sandbox"):
        async with TrioSpawner().start(["true"], Profile(cwd="/", environment={}, sandbox=Sandbox())):
            pass


async def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said, with its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxUnavailable, match=r"the sandbox's cache .*/file/sandbox cannot be used: Not a directory"):
        await said(Bubblewrap(str(tmp_path / "file")), Sandbox())


async def test_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a filter for it there are no walls."""
    monkeypatch.setattr(bubblewrap, "FILTERS", tmp_path)
    with pytest.raises(SandboxUnavailable, match=f"no filter of system calls for {os.uname().machine}"):
        await said(Bubblewrap(str(tmp_path / "cache")), Sandbox())


def _exists(path: Path) -> bool:
    return path.exists()
