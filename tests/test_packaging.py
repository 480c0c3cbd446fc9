"""The wheel as users get it: what is in it, what it says of itself, and that its programs start outside of this repository."""

from __future__ import annotations

import email
import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import agentwire

ROOT = Path(__file__).parent.parent
PACKAGES = {"agentctl": ROOT / "agentctl", "agentd": ROOT / "agentd", "agentwire": ROOT / "shared/agentwire"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once from the work tree with the tools that are installed."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = out.iterdir()
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a fresh environment with the wheel in it; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    bin_, site = (Path(sysconfig.get_path(name, "venv", {"base": str(folder)})) for name in ("scripts", "purelib"))
    # A path added by a .pth file brings the packages there, but not what their own .pth files add: our work tree stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True)
    return bin_


def names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def sources(package: str, folder: Path) -> Iterator[str]:
    return (f"{package}/{path.relative_to(folder)}" for path in folder.rglob("*.py"))


def test_three_packages_whole_and_typed(wheel: Path) -> None:
    """Every module of the three packages is in the wheel, each package says that it is typed, and nothing else is there."""
    expected = {name for package, folder in PACKAGES.items() for name in sources(package, folder)}
    expected |= {f"{package}/py.typed" for package in PACKAGES}
    expected |= {f"agentd/toolsources/sandbox/filters/{machine}.bpf" for machine in ("aarch64", "x86_64")}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected


def test_nothing_is_called_shared(wheel: Path) -> None:
    """`shared/` is only where agentwire lies in the repository."""
    assert not [name for name in names(wheel) if "shared" in name.split("/")]


def test_licence_travels_along(wheel: Path) -> None:
    """The MIT licence is named in the metadata and its text is in the wheel."""
    assert metadata(wheel)["License-Expression"] == "MIT"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names(wheel))


def test_metadata(wheel: Path) -> None:
    """The wheel says its name, version and oldest Python, and is the same file for every one."""
    about = metadata(wheel)
    assert (about["Name"], about["Version"], about["Requires-Python"]) == ("agentd", agentwire.__version__, ">=3.11")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert str(about.get_payload()).startswith("# agentd")


def test_changelog_knows_the_version() -> None:
    """A version that can be installed has its section in the changelog."""
    assert f"## [{agentwire.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned(wheel: Path) -> None:
    """What the wheel needs, at run time and for development, has one version in constraints.txt."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    needed = {Requirement(line).name for line in metadata(wheel).get_all("Requires-Dist", [])}
    assert {canonicalize_name(name) for name in needed} <= {canonicalize_name(name) for name in pins}


def test_programs_start_outside_of_the_repository(installed: Path, tmp_path: Path) -> None:
    """Both entry points of the installed wheel answer, and the code that answers is the wheel's."""
    for program in ("agentctl", "agentd"):
        said = subprocess.run([installed / program, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
        assert said.split() == [program, agentwire.__version__]
    where = "import agentctl, agentd, agentwire; print(*(m.__file__ for m in (agentctl, agentd, agentwire)), sep='\\n')"
    files = subprocess.run(
        [installed / "python", "-c", where], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.split()
    assert all(Path(file).is_relative_to(installed.parent) for file in files)


def test_paths_of_the_installed_program(installed: Path, tmp_path: Path) -> None:
    """`agentctl paths --json` answers without a daemon and puts everything below AGENTD_HOME."""
    asked = subprocess.run(
        [installed / "agentctl", "paths", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AGENTD_HOME": str(tmp_path)},
    )
    paths = json.loads(asked.stdout)
    assert paths["database"] == f"{tmp_path}/data/agentd.db"
