"""What of a machine is seen: its toolchains, copies of some files, caches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentd.toolsources.sandbox import ground
from agentd.toolsources.sandbox.ground import TEMPORARY_KEPT, furnish, survey, toolchains


def made(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).mkdir(parents=True, exist_ok=True)


def test_toolchains(tmp_path: Path) -> None:
    """An installation is seen whole, a lone directory of programs alone, and nothing that the home directory is in."""
    made(tmp_path, "home/bin", "home/.local/bin", "home/.local/lib", "home/sdk/bin", "home/sdk/lib", "venv/bin", "alone/bin")
    (tmp_path / "venv/pyvenv.cfg").touch()
    (tmp_path / "link").symlink_to("sdk-elsewhere")
    path = ":".join(
        str(tmp_path / each) for each in ("home/bin", "home/.local/bin", "home/sdk/bin", "venv/bin", "alone/bin", "gone", "link")
    )
    found = toolchains(f"{path}:relative:/:{tmp_path}", ["", str(tmp_path / "venv")], str(tmp_path / "home"))
    names = [str(Path(each).relative_to(tmp_path)) for each in found]
    assert names == ["venv", "home/bin", "home/.local/bin", "home/sdk", "venv", "alone/bin"]


def test_only_what_everybody_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also root copies no file of /etc that others could not read, if it were in the list."""
    monkeypatch.setattr(ground, "ETC_FILES", ["passwd", "shadow", "gshadow", "no-such-file"])
    furnish(str(tmp_path))
    survey(str(tmp_path / "home"), str(tmp_path))
    assert [path.name for path in (tmp_path / "etc").iterdir() if path.is_file()] == ["passwd"]


def test_copies_follow_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of /etc that has changed is copied again, and one that has not is left alone."""
    monkeypatch.setattr(ground, "ETC_FILES", ["passwd"])
    furnish(str(tmp_path))
    copy = tmp_path / "etc/passwd"
    survey(str(tmp_path / "home"), str(tmp_path))
    first = copy.stat().st_ino
    survey(str(tmp_path / "home"), str(tmp_path))
    assert copy.stat().st_ino == first
    copy.write_text("older")
    survey(str(tmp_path / "home"), str(tmp_path))
    assert copy.read_text() == Path("/etc/passwd").read_text()


def test_temporary_files_are_cleared_away(tmp_path: Path) -> None:
    """Those of a workspace in which nothing has run for a day."""
    furnish(str(tmp_path))
    made(tmp_path, "temporary/old/inner", "temporary/new")
    then = (tmp_path / "temporary/new").stat().st_mtime - TEMPORARY_KEPT - 60
    os.utime(tmp_path / "temporary/old", (then, then))
    furnish(str(tmp_path))
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["new"]


def test_home_behind_a_link(tmp_path: Path) -> None:
    """Its name is a link inside, as it is outside."""
    made(tmp_path, "real/.cargo/bin")
    (tmp_path / "home").symlink_to("real")
    furnish(str(tmp_path / "cache"))
    found = survey(str(tmp_path / "home"), str(tmp_path / "cache"))
    assert found.home == str(tmp_path / "real")
    assert found.links[str(tmp_path / "home")] == str(tmp_path / "real")
    assert str(tmp_path / "real/.cargo/bin") in [mount.path for mount in found.mounts]
