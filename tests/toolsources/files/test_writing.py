"""write: the whole content or nothing, and never over what the session does not know."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import trio

from agentd.spawn import TrioSpawner
from agentd.toolsources.files.known import Known
from agentd.toolsources.files.source import FileTools
from agentd.toolsources.files.writing import replace
from agentwire.errors import ToolError
from tests.fakes.file_calls import FileCalls


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_new_file_and_its_directories(calls: FileCalls) -> None:
    """With the user's umask, not the daemon's."""
    own = os.umask(0o077)
    try:
        said = await calls.text("write", path="one/two/a.txt", content="x\ny\n")
    finally:
        os.umask(own)
    assert said == f"created {calls.root}/one/two/a.txt (2 lines, 4 bytes)"
    assert (calls.root / "one/two/a.txt").read_text() == "x\ny\n"
    assert [mode(calls.root / path) for path in ("one", "one/two", "one/two/a.txt")] == [0o755, 0o755, 0o644]


async def test_what_exists_must_have_been_read(calls: FileCalls) -> None:
    """Unless nothing is lost: an empty file, or the same content. What was written is known."""
    (calls.root / "a").write_text("x\n")
    (calls.root / "empty").write_text("")
    assert "read it first" in await calls.error("write", path="a", content="y\n")
    assert "already" in await calls.text("write", path="a", content="x\n")
    await calls.text("write", path="empty", content="full\n")
    await calls.text("write", path="empty", content="fuller\n")
    await calls.text("read", path="a", limit=1)
    assert await calls.text("write", path="a", content="y\n") == f"replaced {calls.root}/a (+1 -1 lines)\n@@ -1,1 +1,1 @@\n-x\n+y"
    assert (calls.root / "a").read_text() == "y\n"


async def test_another_session_knows_nothing(calls: FileCalls) -> None:
    """Neither of what was read, nor of what it changed; and a restart forgets everything."""
    (calls.root / "a").write_text("x\n")
    await calls.text("read", path="a")
    other = FileCalls(calls.source, calls.root, session="other")
    later = FileCalls(FileTools(TrioSpawner(), umask=0o022), calls.root)
    assert "read it first" in await other.error("write", path="a", content="y\n")
    assert "read it first" in await later.error("edit", path="a", old="x", new="y")
    await other.text("read", path="a")
    await other.text("write", path="a", content="z\n")
    assert "changed since" in await calls.error("write", path="a", content="y\n")
    assert (calls.root / "a").read_text() == "z\n"


async def test_a_large_file_of_which_a_part_was_read(calls: FileCalls) -> None:
    """It is known by its times, size and number."""
    file = calls.root / "large"
    file.write_text("line\n" * 500_000)
    await calls.text("read", path="large", limit=10)
    await calls.text("edit", path="large", old="line\n" * 500_000, new="short\n")
    assert file.read_text() == "short\n"
    file.write_text("line\n" * 500_000)
    await calls.text("read", path="large", limit=10)
    with file.open("r+") as opened:
        opened.write("LINE")
    assert "changed since" in await calls.error("write", path="large", content="")


async def test_modes_and_links_stay(calls: FileCalls) -> None:
    """The file's mode is kept; a link stays one, and what it leads to is written."""
    (calls.root / "bin").mkdir()
    (calls.root / "bin/script").write_text("#!/bin/sh\n")
    (calls.root / "bin/script").chmod(0o755)
    (calls.root / "link").symlink_to("bin/script")
    await calls.text("read", path="link")
    await calls.text("write", path="link", content="#!/bin/bash\n")
    assert (calls.root / "link").is_symlink()
    assert (calls.root / "bin/script").read_text() == "#!/bin/bash\n"
    assert mode(calls.root / "bin/script") == 0o755
    assert sorted(os.listdir(calls.root / "bin")) == ["script"]


async def test_a_link_that_leads_nowhere_gets_its_file(calls: FileCalls) -> None:
    """As with an editor."""
    (calls.root / "link").symlink_to("target")
    await calls.text("write", path="link", content="x")
    assert (calls.root / "target").read_text() == "x"


async def test_parallel_edits_of_one_file_all_count(calls: FileCalls) -> None:
    """None undoes another."""
    (calls.root / "a").write_text("".join(f"<{number}>\n" for number in range(30)))
    await calls.text("read", path="a")
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(partial(calls.text, "edit", path="a", old=f"<{number}>", new=f"[{number}]"))
    assert (calls.root / "a").read_text() == "".join(f"[{number}]\n" for number in range(30))


async def test_what_changed_in_the_last_moment_is_not_replaced(calls: FileCalls) -> None:
    """Between looking and renaming: a file that appears, one that changes. Nothing is left behind."""
    file = calls.root / "a"

    async def replacing(was: Known | None) -> str:
        try:
            await trio.to_thread.run_sync(lambda: replace(str(file), b"new", was, umask=0o022))
        except ToolError as error:
            return str(error)
        return ""

    file.write_text("appeared")
    assert "read it first" in await replacing(None)
    was = Known.whole(file.stat(), b"appeared")
    file.write_text("changed")
    assert "changed since" in await replacing(was)
    assert file.read_text() == "changed"
    assert os.listdir(calls.root) == ["a"]


async def test_a_cancelled_write_changes_nothing(calls: FileCalls) -> None:
    """Cancelled before the rename, it leaves the old file and no other."""
    (calls.root / "a").write_text("old")
    await calls.text("read", path="a")
    with trio.move_on_after(0) as cancelled:
        await calls.text("write", path="a", content="new")
    assert cancelled.cancelled_caught
    assert (calls.root / "a").read_text() == "old"
    assert os.listdir(calls.root) == ["a"]


async def test_what_cannot_be_written_says_why(calls: FileCalls) -> None:
    """Directories, FIFOs, /proc, what lies below a file."""
    (calls.root / "dir").mkdir()
    (calls.root / "file").write_text("")
    os.mkfifo(calls.root / "fifo")
    for path, why in {
        "dir": "a directory",
        "fifo": "FIFO",
        "file/below": "is a file, not a directory",
        "/proc/self/oom_score_adj": "/proc",
        "/": "a directory",
        "x" * 300: "too long",
    }.items():
        assert why in await calls.error("write", path=path, content="x"), path


async def test_half_characters_are_refused(calls: FileCalls) -> None:
    """What no encoding can write."""
    assert "half a character" in await calls.error("write", path="a", content="\ud83d")
    assert not os.listdir(calls.root)
