"""Links and directories swapped while file tools work: what is outside is neither read nor changed, however often it is tried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentwire.errors import ToolError
from agentwire.types import Access, AccessKind
from tests.fakes.file_calls import FileCalls, text_of

SWAPPER = """
import itertools, os, sys
root, outside = sys.argv[1:]
os.chdir(root)
os.mkdir("trash")
trash = (f"trash/{number}" for number in itertools.count())

def until_done(step):
    while True:
        try:
            return step()
        except OSError:  # a write has made the directory anew
            os.rename("dir", next(trash))

print(flush=True)
while True:
    # A file for a link to one outside, and back.
    os.symlink(f"{outside}/file", "link"); os.rename("link", "file")
    with open("new", "w") as file: file.write("inside")
    os.rename("new", "file")
    # A directory for a link to one outside, and back.
    os.rename("dir", "away"); until_done(lambda: os.symlink(outside, "dir"))
    os.unlink("dir"); until_done(lambda: os.rename("away", "dir"))
"""
SECRET = "secret of the outside"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that no call was planned for."""
    made = tmp_path.resolve() / "outside"
    made.mkdir()
    (made / "file").write_text(SECRET)
    return made


@contextmanager
def swapping(root: Path, outside: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", SWAPPER, root, outside], stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        swapper.stdout.readline()
        try:
            yield
            assert swapper.poll() is None, "nothing was swapped any more"
        finally:
            swapper.kill()


async def race(calls: FileCalls, outside: Path, rounds: int) -> dict[str, int]:
    """What came of the calls: how many were done, how many refused. Nothing else may happen."""
    (calls.root / "dir").mkdir()
    for folder in (calls.root, calls.root / "dir"):
        (folder / "file").write_text("inside")
    asked: Sequence[tuple[str, AccessKind, dict[str, str]]] = (
        ("read", "read", {}),
        ("write", "write", {"content": "written"}),
        ("edit", "write", {"old": "inside", "new": "edited"}),
        ("grep", "read", {"pattern": "s"}),
    )
    came = {"done": 0, "refused": 0}
    with swapping(calls.root, outside):
        for number in range(rounds):
            tool, kind, arguments = asked[number % len(asked)]
            target = str(calls.root / ("file" if number % 3 else "dir/file"))
            try:
                if kind == "write":
                    await calls.run("read", (Access(kind="read", target=target),), path=target)
                said = text_of(await calls.run(tool, (Access(kind=kind, target=target),), path=target, **arguments))
                came["done"] += 1
            except ToolError as error:
                said = str(error)
                came["refused"] += 1
            assert SECRET not in said
    assert (outside / "file").read_text() == SECRET
    assert os.listdir(outside) == ["file"]
    return came


async def test_nothing_leads_out(calls: FileCalls, outside: Path) -> None:
    """Some hundred times; both happened, calls that were done and calls that were refused."""
    came = await race(calls, outside, 600)
    assert min(came.values()) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_leads_out_ever(calls: FileCalls, outside: Path) -> None:
    """Ten thousand times."""
    came = await race(calls, outside, 10_000)
    assert min(came.values()) > 100


@pytest.mark.parametrize("tool", ["read", "write", "edit", "glob", "grep"])
async def test_a_link_that_appears_after_planning(calls: FileCalls, outside: Path, tool: str) -> None:
    """At the name itself and at a directory on the way: refused, and it is said why."""
    (calls.root / "dir").mkdir()
    (calls.root / "dir/file").write_text("inside")
    more = {
        "read": {},
        "write": {"content": ""},
        "edit": {"old": "e", "new": ""},
        "glob": {"pattern": "*"},
        "grep": {"pattern": "s"},
    }
    arguments = {"path": "dir" if tool == "glob" else "dir/file", **more[tool]}
    await calls.text("read", path="dir/file")
    planned = calls.plan(tool, **arguments)
    (calls.root / "dir").rename(calls.root / "away")
    (calls.root / "dir").symlink_to(outside)
    with pytest.raises(ToolError, match="a link was put into this path"):
        await calls.run(tool, planned, **arguments)
    assert (outside / "file").read_text() == SECRET


async def test_a_directory_swapped_while_it_is_searched_leads_nowhere(calls: FileCalls, outside: Path) -> None:
    """Searching goes from descriptor to descriptor, through no link: what is outside is never found."""
    (calls.root / "dir").mkdir()
    with swapping(calls.root, outside):
        for _ in range(100):
            assert SECRET not in await calls.text("grep", pattern="secret|inside")
