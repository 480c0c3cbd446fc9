"""Paths that are kept: what is mounted for them, and what is left afterwards."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from agentd.toolsources.sandbox.keeping import Keeping, put_aside


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    root.mkdir()
    (root / "file").touch()
    return root


def ready(root: Path, *names: str, over: ExitStack, keeping: Keeping | None = None) -> list[str]:
    kept = (keeping or Keeping()).ready([str(root / name) for name in names], [str(root)], over)
    return [str(Path(path).relative_to(root.parent)) for path in kept]


def test_what_is_there_is_kept(root: Path) -> None:
    """And stays."""
    (root / ".git/hooks").mkdir(parents=True)
    with ExitStack() as over:
        assert ready(root, ".git/hooks", over=over) == ["ws/.git/hooks"]
    assert (root / ".git/hooks").is_dir()


def test_what_is_missing_is_made_for_the_while(root: Path) -> None:
    """An empty directory, as long as anybody needs it; what somebody outside has put into it stays."""
    keeping = Keeping()
    with ExitStack() as first:
        assert ready(root, ".agentd", over=first, keeping=keeping) == ["ws/.agentd"]
        with ExitStack() as second:
            assert ready(root, ".agentd", over=second, keeping=keeping) == ["ws/.agentd"]
        assert (root / ".agentd").is_dir()
    assert not (root / ".agentd").exists()
    with ExitStack() as over:
        ready(root, ".agentd", over=over)
        (root / ".agentd/config.toml").touch()
    assert (root / ".agentd/config.toml").exists()


def test_an_empty_workspace_stays_empty(tmp_path: Path) -> None:
    """Nothing is made, and nothing kept; what comes to be there is put aside."""
    root = tmp_path / "empty"
    root.mkdir()
    with ExitStack() as over:
        assert ready(root, ".agentd", ".git/hooks", over=over) == []
        assert list(root.iterdir()) == []
        (root / ".agentd").mkdir()
        (root / ".agentd/config.toml").touch()
    assert [path.name for path in root.iterdir()] == [".agentd.1.put-aside"]


def test_a_worktree(root: Path) -> None:
    """Where `.git` is a file it is kept itself: nothing can be in it as long as it is there."""
    (root / ".git").write_text("gitdir: /elsewhere")
    with ExitStack() as over:
        assert ready(root, ".git/hooks", over=over) == ["ws/.git"]


@pytest.mark.parametrize(("target", "kept"), [("other", ["ws/other/hooks"]), ("/usr", []), ("missing", [])])
def test_links(root: Path, target: str, kept: list[str]) -> None:
    """What a link leads to is kept, if it could be written; a link that leads outside is nobody's way to mount something there."""
    (root / "other/hooks").mkdir(parents=True)
    (root / ".git").symlink_to(target)
    with ExitStack() as over:
        assert ready(root, ".git/hooks", over=over) == kept


def test_what_somebody_else_could_replace(tmp_path: Path) -> None:
    """Where one who lives has no mount, another gets none: a link could be put there between the look and the mount."""
    root, keeping = tmp_path / "fresh", Keeping()
    root.mkdir()
    with ExitStack() as job:
        assert ready(root, ".git/hooks", over=job, keeping=keeping) == []
        (root / ".git/hooks").mkdir(parents=True)  # the job has made it
        with ExitStack() as other:
            assert ready(root, ".git/hooks", over=other, keeping=keeping) == []
            (root / ".git/hooks/pre-commit").touch()
    assert [path.name for path in (root / ".git").iterdir()] == ["hooks.1.put-aside"]
    (root / ".git/hooks").mkdir()
    with ExitStack() as later:
        assert ready(root, ".git/hooks", over=later, keeping=keeping) == ["fresh/.git/hooks"]


def test_a_repository_that_became_a_link(tmp_path: Path) -> None:
    """The link is put aside; what it leads to, perhaps somebody's, is left alone."""
    root = tmp_path / "fresh"
    (tmp_path / "other/hooks").mkdir(parents=True)
    (tmp_path / "other/hooks/pre-commit").touch()
    root.mkdir()
    with ExitStack() as over:
        assert ready(root, ".git/hooks", over=over) == []
        (root / ".git").symlink_to("../other")
    assert [path.name for path in root.iterdir()] == [".git.1.put-aside"]
    assert (tmp_path / "other/hooks/pre-commit").exists()


def test_outside_of_what_is_written(root: Path) -> None:
    """There is nothing to keep."""
    with ExitStack() as over:
        assert Keeping().ready(["/usr/.agentd", str(root)], [str(root)], over) == ()


def test_put_aside(root: Path) -> None:
    """Files, directories and links get another name, each time a new one; samples of hooks are left, and nothing is no error."""
    put_aside(str(root / "nothing"))
    for make in (Path.touch, Path.mkdir, lambda path: path.symlink_to("/usr")):
        make(root / "x")
        if (root / "x").is_dir() and not (root / "x").is_symlink():
            (root / "x/pre-commit").touch()
        put_aside(str(root / "x"))
    assert sorted(path.name for path in root.iterdir()) == ["file", "x.1.put-aside", "x.2.put-aside", "x.3.put-aside"]
    (root / "hooks").mkdir()
    (root / "hooks/pre-commit.sample").touch()
    put_aside(str(root / "hooks"))
    assert (root / "hooks").is_dir()
