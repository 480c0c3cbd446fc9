"""The child's side of the conversation, spoken to through bare pipes: nothing runs before `go`, nothing outlives the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from tests.fakes.processes import Mailbox, gone, mailbox

FILE = '''
import ctypes, os, signal, subprocess, sys
from agentd.tool import tool

def say(word):
    with open(os.environ["BOX"], "w") as box:
        print(word, file=box)

say("imported")

@tool
def talk() -> str:
    """Says it in every way."""
    os.write(1, b"bare ")
    print("print \\u20ac", flush=True)
    subprocess.run(["echo", "child"], check=True)
    print("last line", end="")
    return "value"

@tool
def wait(how: str) -> None:
    say(subprocess.Popen(["sleep", "1000"]).pid)
    if how == "gil":
        ctypes.PyDLL(None).sleep(1000)  # PyDLL: the GIL is held all the while
    if child := os.fork():
        say(child)
    signal.pause()

@tool
def spoil(how: str) -> str:
    if how == "closes stdout":
        os.close(1)
    elif how == "closes sys.stdout":
        sys.stdout.close()
    elif how == "replaces sys.stdout":
        sys.stdout = None
    elif how == "asks":
        return input("Name? ")
    elif how == "surrogate":
        return "\\ud800"
    elif how == "exits":
        sys.exit("enough")
    return "fine"
'''


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def worker(tmp_path: Path, box: Mailbox) -> Iterator[subprocess.Popen[bytes]]:
    file = tmp_path / "file.py"
    file.write_text(FILE)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agentd.toolsources.function_worker", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={"BOX": box.path, "PATH": os.environ["PATH"]},
    ) as process:
        yield process
        process.kill()


def pipes(worker: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    return cast(IO[bytes], worker.stdin), cast(IO[bytes], worker.stdout)


def go(worker: subprocess.Popen[bytes], **request: Any) -> IO[bytes]:
    stdin, stdout = pipes(worker)
    assert stdout.readline() == b"r\n"
    stdin.write(b"go " + json.dumps(request).encode() + b"\n")
    stdin.flush()
    return stdout


def ask(worker: subprocess.Popen[bytes], **request: Any) -> tuple[str, str]:
    stdout = go(worker, **request)
    header = json.loads(stdout.readline())
    return header["outcome"], stdout.read(header["bytes"]).decode()


@pytest.mark.parametrize("said", [b"", b"go {}", b"stop\n", b"go\n"])
def test_without_go_nothing_runs(worker: subprocess.Popen[bytes], box: Mailbox, said: bytes) -> None:
    """The daemon dies after the child is ready, even in the middle of its line: exit 0, the file not even imported."""
    stdin, stdout = pipes(worker)
    assert stdout.readline() == b"r\n"
    stdin.write(said)
    stdin.close()
    assert stdout.read() == b""
    assert worker.wait(10) == 0
    assert box.empty()


def test_whatever_is_printed_is_collected(worker: subprocess.Popen[bytes]) -> None:
    """Prints of Python, of C and of children come before the value, in order, and never into the protocol."""
    assert ask(worker, call="talk", arguments={}) == ("ok", "bare print \u20ac\nchild\nlast line\nvalue")
    assert worker.wait(10) == 0


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("closes stdout", ("ok", "fine")),
        ("closes sys.stdout", ("ok", "fine")),
        ("replaces sys.stdout", ("ok", "fine")),
        ("surrogate", ("ok", "?")),
        ("exits", ("error", "SystemExit: enough")),
        ("asks", ("error", "Name? \nEOFError: EOF when reading a line")),
    ],
)
def test_the_answer_arrives_whatever_is_done_to_the_streams(
    worker: subprocess.Popen[bytes], how: str, answer: tuple[str, str]
) -> None:
    """The result has a way of its own; input is never there to be had."""
    outcome, text = ask(worker, call="spoil", arguments={"how": how})
    assert (outcome, text.split("\n  File")[0]) == answer


@pytest.mark.parametrize("how", ["sleep", "gil"])
async def test_daemon_death_kills_the_group(worker: subprocess.Popen[bytes], box: Mailbox, how: str) -> None:
    """kill -9 of the daemon closes its end of the pipe: function, child and fork die at once, also while C code holds the GIL."""
    go(worker, call="wait", arguments={"how": how})
    assert await box.read() == "imported"
    pids = [await box.pid() for _ in range(2 if how == "sleep" else 1)]
    pipes(worker)[0].close()
    for pid in [*pids, worker.pid]:
        await gone(pid)
    assert worker.wait() == -signal.SIGKILL


async def test_daemon_death_right_after_go(worker: subprocess.Popen[bytes]) -> None:
    """However early after `go` the daemon dies, the kernel knows or is asked: nothing lives on."""
    go(worker, call="wait", arguments={"how": "sleep"})
    pipes(worker)[0].close()
    await gone(worker.pid)
    assert worker.wait() == -signal.SIGKILL


def test_description(worker: subprocess.Popen[bytes]) -> None:
    """`go` without a call describes the file's tools."""
    outcome, text = ask(worker)
    described = json.loads(text)
    assert outcome == "ok"
    assert [tool["name"] for tool in described["tools"]] == ["talk", "wait", "spoil"]
    assert described["tools"][0]["description"] == "Says it in every way."
    assert described["problems"] == []
