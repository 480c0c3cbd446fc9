"""A log file that rotates: every line is in one file, whole, whatever is renamed, full or shared."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from agentd import log_file
from agentd.log_file import LogFile, bound_output
from agentwire.errors import ConfigError

LINE = b"x" * 99 + b"\n"


def numbered(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(folder: Path, *, max_bytes: int = 1000, keep: int = 2) -> LogFile:
    return LogFile(str(folder / "log"), max_bytes=max_bytes, keep=keep)


def test_rotation_by_size(tmp_path: Path) -> None:
    """No file is longer than the limit, so many old ones are kept, 0600, the newest first; the descriptor's number stays."""
    file = make(tmp_path)
    descriptor = file.descriptor
    assert all(file.write(b"%099d\n" % number) for number in range(45))
    assert numbered(tmp_path) == ["log", "log.1", "log.2"] and file.descriptor == descriptor
    kept = [(tmp_path / name).read_bytes().split() for name in ("log.2", "log.1", "log")]
    assert [len(lines) for lines in kept] == [10, 10, 5]
    assert all(int(after) == int(before) + 1 for before, after in pairwise(line for lines in kept for line in lines))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert not os.get_inheritable(file.descriptor)


@pytest.mark.parametrize(("max_bytes", "keep", "names"), [(0, 2, ["log"]), (1000, 0, ["log"]), (1000, 1, ["log", "log.1"])])
def test_limits_that_mean_something_else(max_bytes: int, keep: int, names: list[str], tmp_path: Path) -> None:
    """0 bytes: never rotated; none kept: begun anew; a line longer than the limit has a file of its own."""
    file = make(tmp_path, max_bytes=max_bytes, keep=keep)
    assert all(file.write(LINE) for _ in range(25))
    assert numbered(tmp_path) == names
    assert file.write(b"y" * 5000 + b"\n") and (max_bytes == 0 or (tmp_path / "log").stat().st_size == 5001)


def test_file_that_somebody_else_renamed(tmp_path: Path) -> None:
    """logrotate, or a user: the next line is in the file that has the name; a folder that is gone is made again."""
    file = make(tmp_path / "folder")
    file.write(b"one\n")
    (tmp_path / "folder/log").rename(tmp_path / "old")
    file.write(b"two\n")
    assert (tmp_path / "old").read_bytes() == b"one\n" and (tmp_path / "folder/log").read_bytes() == b"two\n"
    (tmp_path / "folder/log").unlink()
    (tmp_path / "folder").rmdir()
    assert file.write(b"three\n") and (tmp_path / "folder/log").read_bytes() == b"three\n"


@pytest.mark.parametrize("step", ["rename", "open", "unlink"])
def test_disk_that_is_full_in_the_middle_costs_the_limit_and_no_more(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step fails, lines go on into the file that is open, and the next ones into a new one when that works again."""
    file = make(tmp_path, keep=0 if step == "unlink" else 2)
    real: Callable[..., object] = getattr(os, step)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(10):
        file.write(LINE)
    monkeypatch.setattr(os, step, full)
    assert all(file.write(b"more\n") for _ in range(5))
    monkeypatch.setattr(os, step, real)
    assert file.write(b"again\n")
    everything = b"".join((tmp_path / name).read_bytes() for name in numbered(tmp_path))
    assert everything.count(b"again\n") == 1 and (step == "unlink" or everything.count(b"more\n") == 5)


WRITER = """
import sys
from agentd.log_file import LogFile
file = LogFile(sys.argv[1], max_bytes=20_000, keep=1000)
for number in range(2000):
    assert file.write(f"{sys.argv[2]} {number:06d} {'x' * (number % 90)}\\n".encode())
"""


def test_two_processes_lose_and_mix_nothing(tmp_path: Path) -> None:
    """Both write and rotate the same file: every line of both is there once, whole, in the order of its writer."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "log"), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    names = sorted((int(name.partition(".")[2] or 0) for name in numbered(tmp_path)), reverse=True)
    lines = [line for number in names for line in (tmp_path / (f"log.{number}" if number else "log")).read_text().splitlines()]
    for name in "ab":
        own = [line for line in lines if line.startswith(f"{name} ")]
        assert own == [f"{name} {number:06d} {'x' * (number % 90)}" for number in range(2000)]
    assert len(lines) == 4000


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """Said with what to set."""
    with pytest.raises(ConfigError, match=r"set log\.file"):
        LogFile(str(tmp_path), max_bytes=0, keep=0)


def test_what_is_no_file_is_never_rotated(tmp_path: Path) -> None:
    """A device, a pipe."""
    file = LogFile("/dev/null", max_bytes=1, keep=3)
    assert all(file.write(LINE) for _ in range(10)) and not Path("/dev/null.1").exists()


def test_reopening_that_fails_keeps_what_is_open(tmp_path: Path) -> None:
    """A folder in place of the file: lines go on as before."""
    file = make(tmp_path)
    (tmp_path / "log").rename(tmp_path / "old")
    (tmp_path / "log").mkdir()
    assert file.write(b"still\n") and (tmp_path / "old").read_bytes() == b"still\n"


def test_stray_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library prints for ever fills no disk; a file that the user has chosen is left alone."""
    path = tmp_path / "agentd.out"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    monkeypatch.setattr(log_file, "_STDERR", descriptor)
    monkeypatch.setattr(log_file, "OUTPUT_BYTES", 50)
    os.write(descriptor, LINE)
    bound_output(str(tmp_path / "another"))
    assert path.stat().st_size == 100
    bound_output(str(path))
    assert path.stat().st_size == 0
    os.write(descriptor, b"on\n")
    bound_output(str(path))
    assert path.read_bytes() == b"on\n"
    os.close(descriptor)
