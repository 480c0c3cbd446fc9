"""Searching with ripgrep, in a process behind the session's walls."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping

import trio
from attrs import Factory, frozen

from agentd.ports import Process, Profile, Sandbox, Spawner
from agentd.toolsources.files.arguments import Grep
from agentd.toolsources.files.ignoring import VCS
from agentd.toolsources.files.matches import Hit, Report
from agentd.toolsources.files.searching import SECONDS, SLOW, Search
from agentwire.errors import ToolError

_COLUMNS = 4096  # bytes of a line that it gives: more than is shown
_LONGEST = 1024 * 1024  # bytes of a line of its output
_OPTIONS = (
    "--no-config --color=never --no-heading --with-filename --null --line-number --crlf --hidden --sort=path --no-messages "
    f"--no-ignore-global --no-ignore-dot --no-require-git --max-columns={_COLUMNS} --max-columns-preview"
).split()
_MODES = {"content": (), "files": ("--files-with-matches",), "count": ("--count",)}
_NAMES = re.compile(r"[\w.*?{},-]+")
_FOUND, _NOTHING = 0, 1  # its exit codes
_CONTENT = re.compile(rb"(\d+)([:-])(.*)", re.DOTALL)


class UnsupportedError(Exception):
    """It cannot be asked this, or not at all."""


def find() -> str | None:
    """The program: on the daemon's PATH, or beside its Python."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)])
    return shutil.which("rg", path=path)


@frozen
class Ripgrep:
    program: str
    spawner: Spawner
    environment: Mapping[str, str]
    sandbox: Sandbox | None

    async def run(self, search: Search, top: str, name: str, report: Report) -> None:
        """Search the directory at the real path `top`, or just the file `name` in it.

        Error handling: UnsupportedError, with nothing in the report, if the expression is one that ripgrep does not know, or it
        cannot be run here.
        """
        try:
            with trio.move_on_after(SECONDS) as slow:
                async with self.spawner.start(self._command(search.wanted, f"./{name}"), self._profile(top)) as process:
                    await self._take(process, _Sieve(search, top, report))
        except ToolError as error:
            raise UnsupportedError from error
        if slow.cancelled_caught:
            report.note = SLOW

    def _command(self, wanted: Grep, target: str) -> list[str]:
        case = ["--ignore-case"] if wanted.ignore_case else ["--case-sensitive"]
        context = [f"--context={wanted.context}"] if wanted.mode == "content" and wanted.context else []
        skipped = [f"--glob=!{name}" for name in sorted(VCS)]
        # A type, not --glob, which would also show ignored files. Whatever it lets through is looked at again.
        only = [f"--type-add=wanted:{wanted.glob}", "--type=wanted"] if _NAMES.fullmatch(wanted.glob) else []
        options = [*_OPTIONS, *_MODES[wanted.mode], *case, *context, *skipped, *only]
        return [self.program, *options, f"--regexp={wanted.pattern}", "--", target]

    def _profile(self, top: str) -> Profile:
        return Profile(cwd=top, environment=self.environment, sandbox=self.sandbox)

    async def _take(self, process: Process, sieve: _Sieve) -> None:
        buffer = b""
        while data := await process.receive():
            *lines, buffer = (buffer + data).split(sieve.end)
            buffer = buffer[:_LONGEST]
            if not all(sieve.take(line) for line in lines):
                return
        code = await process.wait()
        if not sieve.seen and (code not in (_FOUND, _NOTHING) or process.stderr_tail()):
            raise UnsupportedError  # what it says, or its walls, which may have the same codes


@frozen
class _Sieve:
    """What of its output goes into the report. `seen`: files, and whether they are wanted."""

    search: Search
    top: str
    report: Report
    seen: dict[str, bool] = Factory(dict)

    @property
    def end(self) -> bytes:
        return b"\0" if self.search.wanted.mode == "files" else b"\n"

    def take(self, line: bytes) -> bool:
        """False when the report wants no more."""
        hit = _hit(line, self.search.wanted)
        if hit is None:
            return True
        if hit.path not in self.seen:
            self.seen[hit.path] = self._wants(hit.path)
        return not self.seen[hit.path] or self.report.add(hit)

    def _wants(self, path: str) -> bool:
        files, hidden = self.search.files, self.search.hidden
        return (files is None or files.matches(path)) and not hidden(f"{self.top.rstrip('/')}/{path}")


def _hit(line: bytes, wanted: Grep) -> Hit | None:
    if wanted.mode == "files":
        return Hit(_path(line))
    path, null, rest = line.removesuffix(b"\r").partition(b"\0")  # --crlf is also about its own lines
    if not null:
        return None  # "--" between groups, or what it says about a binary file
    if wanted.mode == "count":
        return Hit(_path(path), int(rest)) if rest.isdigit() else None
    found = _CONTENT.fullmatch(rest)
    if found is None:
        return None
    text = found[3].decode("utf-8", "replace")
    return Hit(_path(path), int(found[1]), text, found[2] == b":")


def _path(data: bytes) -> str:
    return os.fsdecode(data).removeprefix("./")
