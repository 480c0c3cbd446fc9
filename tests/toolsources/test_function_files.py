"""Where functions lie: found without importing anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agentd.toolsources.function_files import Source, Stamp, in_folder, located, of_modules, python_path


@pytest.fixture(name="library")
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose import would be an error."""
    (tmp_path / "pack_of_tools/inner").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "inner/__init__.py", "inner/two.py"):
        (tmp_path / "pack_of_tools" / name).write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("pack_of_tools", "pack_of_tools/__init__.py"),
        ("pack_of_tools.one", "pack_of_tools/one.py"),
        ("pack_of_tools.inner.two", "pack_of_tools/inner/two.py"),
    ],
)
def test_modules_are_found(library: Path, module: str, path: str) -> None:
    """By the finders that an import would ask; the directory they are imported from is known, too."""
    source = Source(module, located(module))
    assert source.path == str(library / path)
    assert source.root == str(library)
    assert "pack_of_tools" not in sys.modules


@pytest.mark.parametrize("module", ["no_such_module", "pack_of_tools.missing", "pack_of_tools.one.more", "sys", "builtins.x"])
def test_what_is_no_file_is_not_found(library: Path, module: str) -> None:
    """It has a stamp all the same: so it is said once, and found when it comes."""
    assert of_modules([module]) == {Source(module, ""): Stamp()}
    assert str(Source(module, "")) == module


def test_a_change_changes_the_stamp(library: Path) -> None:
    """Of the very file, be it as long as before."""
    before = of_modules(["pack_of_tools.one"])
    (library / "pack_of_tools/one.py").write_text("raise RuntimeError('IMPORTED')\n")
    os.utime(library / "pack_of_tools/one.py", ns=(1, 1))
    after = of_modules(["pack_of_tools.one"])
    assert list(before) == list(after) and before != after


def test_folder(tmp_path: Path) -> None:
    """Python files, but no helpers and nothing hidden; links count as what they lead to; no folder is an empty one."""
    for name in ("a.py", "_b.py", ".c.py", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e.py").symlink_to("a.py")
    (tmp_path / "f.py").symlink_to("missing")
    assert sorted(str(source) for source in in_folder(str(tmp_path))) == [str(tmp_path / name) for name in ("a.py", "e.py")]
    assert in_folder(str(tmp_path / "missing")) == {}


def test_python_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists of it, links resolved, once; never what holds the home directory."""
    (tmp_path / "home/libs").mkdir(parents=True)
    (tmp_path / "link").symlink_to("home/libs")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        sys, "path", ["", str(tmp_path), str(tmp_path / "home"), str(tmp_path / "link"), str(tmp_path / "home/libs"), "/gone"]
    )
    assert python_path() == (str(tmp_path / "home/libs"),)
