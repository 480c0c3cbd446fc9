"""What git ignores is left out: the same files as git itself would list."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.toolsources.files.walking import Deadline, Walk

NAMES = ("a", "b", "a.log", "build", "x.py")
DIRECTORIES = ("", "a", "b", "a/build", "b/a", "build", "build/b")
LINES = st.lists(
    st.sampled_from(
        [
            "*.log",
            "!a.log",
            "build/",
            "/build",
            "a",
            "/a/",
            "b/a",
            "**/build",
            "a/**",
            "!a/build",
            "# comment",
            "",
            "x.py ",
            "\\!a",
            "*",
            "!*/",
            "!x.py",
            "a/*",
            "[ab].log",
            "build/b/../x",
            "/",
            "!",
        ]
    ),
    max_size=4,
)


def git(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


def tree(root: Path) -> None:
    for directory in DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if f"{directory}/{name}".lstrip("/") not in DIRECTORIES:
                (root / directory / name).write_text("")
    git(root, "init", "-q")


def walked(top: Path) -> list[str]:
    walk = Walk(str(top.resolve()), Deadline(10), lambda _path: False)

    async def main() -> list[str]:
        return await trio.to_thread.run_sync(lambda: [found.path for found in walk.files()])

    return trio.run(main)


@settings(max_examples=40, deadline=None)
@given(rules=st.dictionaries(st.sampled_from(DIRECTORIES), LINES, max_size=3), exclude=LINES)
def test_the_same_files_as_git(rules: dict[str, list[str]], exclude: list[str]) -> None:
    """Random .gitignore files in random directories, and an exclude file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tree(root)
        for directory, lines in rules.items():
            (root / directory / ".gitignore").write_text("\n".join(lines) + "\n")
        (root / ".git/info/exclude").write_text("\n".join(exclude) + "\n")
        wanted = git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")[:-1]
        assert sorted(walked(root)) == sorted(wanted)


def test_inside_of_a_repository(tmp_path: Path) -> None:
    """Rules from above hold; where somebody looks in an ignored directory, those do not that ignore it."""
    tree(tmp_path)
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n")
    assert "a.log" not in walked(tmp_path / "b")
    assert walked(tmp_path / "build") == ["a", "a.log", "b/a", "b/a.log", "b/b", "b/build", "b/x.py", "build", "x.py"]


def test_without_a_repository(tmp_path: Path) -> None:
    """A .gitignore counts in its directory; what is of a version control system is left out."""
    (tmp_path / ".gitignore").write_text("x\n")
    for name in ("x", "y"):
        (tmp_path / name).write_text("")
    for name in (".hg", ".github"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "z").write_text("")
    assert walked(tmp_path) == [".github/z", ".gitignore", "y"]


def test_a_gitignore_that_is_a_link_does_not_count(tmp_path: Path) -> None:
    """As with git: it could be any file."""
    (tmp_path / "rules").write_text("x\n")
    (tmp_path / ".gitignore").symlink_to("rules")
    (tmp_path / "x").write_text("")
    assert "x" in walked(tmp_path)
