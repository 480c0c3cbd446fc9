"""grep and glob: the same answer with ripgrep and without; bounded in size and time; nothing hidden is found."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from attrs import evolve

from agentd.ports import Process, Profile, Sandbox
from agentd.spawn import TrioSpawner
from agentd.toolsources.files import ripgrep
from agentd.toolsources.files.arguments import Grep
from agentd.toolsources.files.matches import Report
from agentd.toolsources.files.searching import SLOW, Search
from agentd.toolsources.files.source import FileTools
from agentd.toolsources.files.walking import Deadline
from agentwire.errors import SandboxUnavailable, ToolError
from tests.fakes.file_calls import FileCalls, text_of

RG = ripgrep.find()
both = pytest.mark.parametrize("program", [None, pytest.param(RG, marks=pytest.mark.skipif(RG is None, reason="no ripgrep here"))])
WORDS = ["alpha", "beta", "Gamma", "delta(x)", "", "  alpha beta", "é alpha", "x" * 700, "\tone"]


class Watched(TrioSpawner):
    """Knows with which profiles it was asked to start something."""

    def __init__(self, *, walls: bool = True) -> None:
        super().__init__()
        self.profiles: list[Profile] = []
        self.walls = walls

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        self.profiles.append(profile)
        if not self.walls:
            raise SandboxUnavailable("there is no bubblewrap")
        return super().start(argv, evolve(profile, sandbox=None))


def make(root: Path, program: str | None) -> FileCalls:
    return FileCalls(FileTools(TrioSpawner(), umask=0o022, ripgrep=program), root)


def repository(root: Path, seed: int) -> None:
    """Random text files, some ignored, some binary, some in other encodings."""
    chance = random.Random(seed)
    subprocess.run(["git", "init", "-q", root], check=True)
    for name in ("a.txt", "a/b.py", "a/c/d.py", "b.py", ".hidden/e.txt", "out/f.txt", "a/out.log", "z.bin", "wide.txt", "A.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        end = chance.choice(["\n", "\r\n"])
        text = end.join(chance.choice(WORDS) for _ in range(chance.randrange(60))) + chance.choice(["", end])
        path.write_bytes(text.encode("utf-16") if name == "wide.txt" else text.encode())
    (root / "z.bin").write_bytes(b"alpha\0beta\n")
    (root / "latin.txt").write_bytes(b"alpha \xe9\n")
    (root / ".gitignore").write_text("out/\n*.log\n")
    (root / "link").symlink_to("a.txt")


@pytest.mark.skipif(RG is None, reason="no ripgrep here")
@pytest.mark.parametrize("seed", range(4))
async def test_the_same_with_ripgrep_and_without(calls: FileCalls, seed: int) -> None:
    """Every mode and option, character by character."""
    repository(calls.root, seed)
    mine, its = make(calls.root, None), make(calls.root, RG)
    chance = random.Random(seed)
    for pattern in ("alpha", "^alpha$", r"a\b", "GAMMA", r"delta\(x\)$", "x{600}", r"^\s*$", ".", r"\w+ beta|one", "nothing", "^"):
        for _ in range(4):
            arguments = {
                "pattern": pattern,
                "mode": chance.choice(["content", "files", "count"]),
                "context": chance.choice([0, 0, 1, 3]),
                "ignore_case": chance.choice([True, False]),
                "glob": chance.choice(["", "*.py", "a/**", "*.{txt,log}", "[a-b]*"]),
                "path": chance.choice([".", "a", "a.txt", ".hidden", "out"]),
                "limit": chance.choice([3, 200]),
            }
            assert await mine.text("grep", **arguments) == await its.text("grep", **arguments), arguments


@both
async def test_what_is_said(calls: FileCalls, program: str | None) -> None:
    """Paths as the next call takes them; lines under their path, those around marked; what was left out is told."""
    tools = make(calls.root, program)
    (calls.root / "src").mkdir()
    (calls.root / "src/a.py").write_text("import os\n\ndef one():\n    pass\n\n\n\n\ndef two(): return 'one'\n")
    (calls.root / "b.py").write_text("one\n")
    assert await tools.text("grep", pattern="one") == "b.py\n1:one\n\nsrc/a.py\n3:def one():\n9:def two(): return 'one'"
    assert await tools.text("grep", pattern="def", context=1) == (
        "src/a.py\n2-\n3:def one():\n4-    pass\n--\n8-\n9:def two(): return 'one'"
    )
    assert await tools.text("grep", pattern="one", mode="count") == "b.py: 1\nsrc/a.py: 2"
    assert await tools.text("grep", pattern="ONE", mode="files", path="src", ignore_case=True) == "src/a.py"
    assert await tools.text("grep", pattern="pass", path="src/a.py") == "src/a.py\n4:    pass"
    assert (await tools.text("grep", pattern="one", limit=1)).startswith("b.py\n1:one\n(cut at 1")
    assert "nothing matches" in await tools.text("grep", pattern="three")


@both
async def test_lines_and_results_are_bounded(calls: FileCalls, program: str | None) -> None:
    """Long lines are cut, and so is a long result; reading ends there."""
    tools = make(calls.root, program)
    (calls.root / "long").write_text("x" * 3_000_000 + "\n")
    (calls.root / "many").write_text(("y" * 400 + "\n") * 5000)
    assert await tools.text("grep", pattern="^x") == "long\n1:" + "x" * 500 + " [cut]"
    said = await tools.text("grep", pattern="y", limit=5000)
    assert len(said) < 64 * 1024 and "(cut at 1" in said


@both
async def test_what_is_hidden_is_not_found(calls: FileCalls, program: str | None) -> None:
    """Neither its lines nor its name."""
    tools = make(calls.root, program)
    for name in ("open.txt", "secret/key.txt"):
        (calls.root / name).parent.mkdir(exist_ok=True)
        (calls.root / name).write_text("token\n")
    for tool, arguments in (("grep", {"pattern": "token"}), ("glob", {"pattern": "*.txt"})):
        context = evolve(
            tools.context(), accesses=tools.plan(tool, **arguments), hidden=lambda path: path.startswith(f"{calls.root}/secret")
        )
        said = text_of(await tools.source.call(tool, arguments, context))
        assert "open.txt" in said and "key" not in said


@pytest.mark.skipif(RG is None, reason="no ripgrep here")
async def test_ripgrep_stands_behind_the_walls(calls: FileCalls) -> None:
    """Those of the session; where there can be none, the search is done in the daemon, without a process."""
    (calls.root / "a").write_text("token\n")
    walls = Sandbox(read=(str(calls.root),))
    for spawner in (Watched(), Watched(walls=False)):
        tools = FileCalls(FileTools(spawner, umask=0o022, ripgrep=RG), calls.root)
        context = evolve(tools.context(), accesses=tools.plan("grep", pattern="token"), sandbox=walls)
        assert text_of(await tools.source.call("grep", {"pattern": "token"}, context)) == "a\n1:token"
        assert [profile.sandbox for profile in spawner.profiles] == [walls]


async def test_walls_that_do_not_hold_ripgrep_are_not_taken_for_its_word(calls: FileCalls, tmp_path: Path) -> None:
    """A program that ends with the code of "nothing found", but complains, has not searched."""
    (calls.root / "a").write_text("token\n")
    (tmp_path / "rg").write_text("#!/bin/sh\necho cannot begin >&2\nexit 1\n")
    (tmp_path / "rg").chmod(0o755)
    assert await make(calls.root, str(tmp_path / "rg")).text("grep", pattern="token") == "a\n1:token"


@both
async def test_expressions(calls: FileCalls, program: str | None) -> None:
    """What ripgrep does not know is still found; what nobody knows is explained; options are none."""
    tools = make(calls.root, program)
    (calls.root / "a").write_text("foobar\n--files\nbaz\n")
    assert await tools.text("grep", pattern="(?<=foo)bar") == "a\n1:foobar"
    assert await tools.text("grep", pattern="--files") == "a\n2:--files"
    assert await tools.text("grep", pattern=r"(.)\1") == "a\n1:foobar\n2:--files"
    assert "is not a regular expression" in await tools.error("grep", pattern="foo(")
    assert "within a line" in await tools.error("grep", pattern=r"foobar\n--")
    assert "no such file" in await tools.error("grep", pattern="x", path="missing")


async def test_a_pattern_that_takes_for_ever_holds_nobody(calls: FileCalls) -> None:
    """The loop goes on; cancelling the call ends it at once; alone it ends at its limit with a word about it."""
    (calls.root / "a").write_text("1," * 60 + "\n")
    wanted = Grep(pattern="(.*?,){20}P")
    with trio.move_on_after(0.2) as cancelled:
        await calls.text("grep", pattern=wanted.pattern)
    assert cancelled.cancelled_caught
    report = Report(wanted, "")
    search = Search(wanted, lambda _path: False)
    await trio.to_thread.run_sync(search.run, str(calls.root), report, Deadline(0.3))
    assert report.note == SLOW


async def test_glob(calls: FileCalls) -> None:
    """Newest first; paths as the next call takes them; what is ignored is left out, links are not followed."""
    repository(calls.root, 1)
    files = ["a/c/d.py", "b.py", "a/b.py"]
    for number, name in enumerate(files):
        os.utime(calls.root / name, (1_000_000 - number, 1_000_000 - number))
    assert await calls.text("glob", pattern="*.py") == "\n".join(files)
    assert await calls.text("glob", pattern="*.py", path="a") == "a/c/d.py\na/b.py"
    assert await calls.text("glob", pattern=f"{calls.root}/a/**/*.py") == "a/c/d.py\na/b.py"
    assert await calls.text("glob", pattern="**/{d,e}.*") == ".hidden/e.txt\na/c/d.py"
    assert "no file matches" in await calls.text("glob", pattern="*.log")
    assert "not a directory" in await calls.error("glob", pattern="*", path="b.py")


async def test_glob_outside_of_the_session(calls: FileCalls, tmp_path: Path) -> None:
    """It is planned for where it looks, and says absolute paths."""
    (tmp_path / "x.txt").write_text("")
    [access] = calls.plan("glob", pattern="../*.txt")
    assert (access.kind, access.target) == ("read", str(calls.root.parent))
    assert await calls.text("glob", pattern="../*.txt", path=".") == f"{calls.root.parent}/x.txt"


async def test_glob_is_bounded(calls: FileCalls) -> None:
    """It says of how many these are the newest."""
    for number in range(300):
        (calls.root / f"{number}").write_text("")
    said = (await calls.text("glob", pattern="*")).split("\n")
    assert len(said) == 201 and said[-1].startswith("(the newest 200 of 300;")


async def test_a_call_that_was_not_planned_does_nothing(calls: FileCalls) -> None:
    """There is no path but the judged one."""
    for tool, arguments in (("read", {"path": "a"}), ("glob", {"pattern": "*"}), ("grep", {"pattern": "x"})):
        with pytest.raises(ToolError, match="not planned"):
            await calls.run(tool, (), **arguments)
