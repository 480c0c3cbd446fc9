"""The shipped filters, run here by a small interpreter of their language: also that of the machine that this one is not."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.toolsources.sandbox.bubblewrap import FILTERS

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {
        "read": 0,
        "ioctl": 16,
        "socket": 41,
        "clone": 56,
        "ptrace": 101,
        "mount": 165,
        "unshare": 272,
        "clone3": 435,
    },
    "aarch64": {"read": 63, "ioctl": 29, "socket": 198, "clone": 220, "ptrace": 117, "mount": 40, "unshare": 97, "clone3": 435},
}
CALLS = [
    ("read", (0, 0, 0), ALLOW),
    ("ptrace", (0, 0, 0), ERRNO | 1),
    ("mount", (0, 0, 0), ERRNO | 1),
    ("clone3", (0, 0), ERRNO | 38),
    ("clone", (0x01200011,), ALLOW),
    ("clone", (0x10000000 | 17,), ERRNO | 1),
    ("unshare", (0x00000200,), ALLOW),
    ("unshare", (0x10000200,), ERRNO | 1),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), ERRNO | 1),
    ("ioctl", (0, 0x541C), ERRNO | 1),
    ("ioctl", (0, 0xFFFFFFFF00005412), ERRNO | 1),
    ("socket", (1, 1, 0), ALLOW),
    ("socket", (2, 1, 0), ALLOW),
    ("socket", (10, 2, 0), ALLOW),
    ("socket", (16, 3, 0), ALLOW),
    ("socket", (16, 3, 9), ERRNO | 97),
    ("socket", (17, 3, 0), ERRNO | 97),
    ("socket", (40, 1, 0), ERRNO | 97),
]


def run(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do with this call."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    lines = list(struct.iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        code, yes, no, value = lines[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            position += yes if true else no


@pytest.mark.parametrize("machine", ARCH)
@pytest.mark.parametrize(("name", "arguments", "wanted"), CALLS)
def test_calls(machine: str, name: str, arguments: tuple[int, ...], wanted: int) -> None:
    """What is refused is refused on each machine, by its own numbers; what programs need is allowed."""
    program = (FILTERS / f"{machine}.bpf").read_bytes()
    assert run(program, ARCH[machine], NUMBERS[machine][name], *arguments) == wanted


def test_other_tables_of_calls() -> None:
    """A program of 32 bits, whose calls have other numbers, is killed; the x32 table does not exist."""
    program = (FILTERS / "x86_64.bpf").read_bytes()
    assert run(program, 0x40000003, 26) == KILL
    assert run(program, ARCH["x86_64"], 0x40000000 | 521) == ERRNO | 38


def test_they_are_what_the_generator_makes() -> None:
    """The data in the repository and the program that describes it do not drift apart."""
    script = Path(__file__).parents[3] / "scripts" / "make-seccomp"
    subprocess.run([sys.executable, str(script), "--check"], check=True)
