"""What walls cost: `true` inside of them, from the request to start it until nothing of it is left, beside the same without."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import trio

from agentd.ports import Profile, Sandbox
from agentd.spawn import TrioSpawner
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap
from benchmarks.common import Lab
from benchmarks.figures import Figure, quiet

_RUNS = 60
_MORE = 40.0  # milliseconds above a bare start that the bar allows


def walls(_lab: Lab) -> list[Figure]:
    """In the walls of the default mode: a workspace, and the two paths in it that are kept."""
    with tempfile.TemporaryDirectory() as folder:
        runs = trio.run(_runs, Path(folder).resolve())
    ours, floor = (quiet(run[i] for run in runs) * 1000 for i in (0, 1))
    times = Figure(name="`true` inside of walls", value=ours, unit="ms", floor=floor, floor_name="ms without").at_most(10)
    more = Figure(name="`true` inside of walls, above one without", value=ours - floor, unit="ms", bar=_MORE, rule="40 ms more")
    return [times, more]


async def _runs(folder: Path) -> list[tuple[float, float]]:
    workspace = folder / "workspace"
    (workspace / ".git" / "hooks").mkdir(parents=True)
    (workspace / ".agentd").mkdir()
    root = str(workspace)
    bare = Profile(cwd=root, environment={"PATH": "/usr/local/bin:/usr/bin:/bin"}, gated=True, silent=True, merged=True)
    walled = Profile(
        cwd=root,
        environment=bare.environment,
        sandbox=Sandbox(write=(root,), keep=(f"{root}/.git/hooks", f"{root}/.agentd"), hide=(str(folder / "cache"),)),
        gated=True,
        silent=True,
        merged=True,
    )
    spawner = TrioSpawner(walls=Bubblewrap(str(folder / "cache")))
    plain = TrioSpawner()
    await _once(spawner, walled)
    return [(await _once(spawner, walled), await _once(plain, bare)) for _ in range(_RUNS)]


async def _once(spawner: TrioSpawner, profile: Profile) -> float:
    began = time.perf_counter()
    async with spawner.start(["true"], profile) as process:
        await process.go()
        await process.wait()
    return time.perf_counter() - began
