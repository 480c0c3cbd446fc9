"""openat2: a path as it stands, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.toolsources.files.openat2 import open_as_it_stands

WITHOUT = """
import ctypes, struct, sys
# A seccomp filter under which system call 437 does not exist, as on an old kernel.
rules = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 437, 0x06, 0, 0, 0x00050000 | 38, 0x06, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(rules, len(rules))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(buffer)))) == 0, ctypes.get_errno()
from agentd.toolsources.files.openat2 import open_as_it_stands
from agentwire.errors import ToolError
try:
    open_as_it_stands("/", 0)
except ToolError as error:
    print(error)
"""


def test_a_path_without_links_is_opened(tmp_path: Path) -> None:
    """Absolute, and as a name in an open directory; children do not inherit it."""
    (tmp_path / "a").write_text("x")
    directory = open_as_it_stands(str(tmp_path.resolve()), os.O_PATH | os.O_DIRECTORY)
    fd = open_as_it_stands("a", os.O_RDONLY, directory=directory)
    assert os.read(fd, 10) == b"x" and not os.get_inheritable(fd)
    os.close(fd)
    os.close(directory)


@pytest.mark.parametrize("path", ["link", "dir_link/a", "dir/../link", "loop"])
def test_no_link_is_followed(tmp_path: Path, path: str) -> None:
    """Neither at the end nor on the way, also where it leads to what would be allowed."""
    root = tmp_path.resolve()
    (root / "dir").mkdir()
    (root / "dir/a").write_text("x")
    (root / "link").symlink_to("dir/a")
    (root / "dir_link").symlink_to("dir")
    (root / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        open_as_it_stands(f"{root}/{path}", os.O_RDONLY)


def test_a_magic_link_of_proc_is_a_link() -> None:
    """/proc/self/fd/N leads to whatever is open."""
    with pytest.raises(OSError, match="symbolic links"):
        open_as_it_stands(f"/proc/{os.getpid()}/fd/0", os.O_RDONLY)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd"])
def test_a_name_stays_in_its_directory(tmp_path: Path, name: str) -> None:
    """Whatever is asked for, it is beneath."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "dir").mkdir()
    directory = open_as_it_stands(str((tmp_path / "dir").resolve()), os.O_PATH)
    with pytest.raises(OSError, match="cross-device"):
        open_as_it_stands(name, os.O_RDONLY, directory=directory)
    os.close(directory)


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    """Opening one whose other end nobody has returns at once."""
    os.mkfifo(tmp_path / "fifo")
    os.close(open_as_it_stands(str((tmp_path / "fifo").resolve()), os.O_RDONLY))


def test_a_kernel_without_it_says_so() -> None:
    """In one sentence with what to do."""
    said = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True).stdout
    assert "need Linux 5.6" in said and "shell tool" in said
