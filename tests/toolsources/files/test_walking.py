"""Looking through directories: in order, within the time, nothing hidden, through no link."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from agentd.toolsources.files.walking import Deadline, TookTooLongError, Walk
from tests.fakes.processes import open_fds


async def walked(walk: Walk) -> list[str]:
    return await trio.to_thread.run_sync(lambda: [found.path for found in walk.files()])


def fill(root: Path) -> Path:
    for path in ("b/x", "b/y/z", "a", "c.txt", "b.txt"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    (root / "link").symlink_to("b")
    return root.resolve()


async def test_the_order_is_that_of_names(tmp_path: Path) -> None:
    """In each directory; a link is named and not followed; no descriptor stays open."""
    root = fill(tmp_path)
    before = open_fds()
    assert await walked(Walk(str(root), Deadline(10), lambda _path: False)) == ["a", "b/x", "b/y/z", "b.txt", "c.txt", "link"]
    assert open_fds() == before


async def test_what_is_hidden_is_passed_over(tmp_path: Path) -> None:
    """With all that is below it."""
    root = fill(tmp_path)
    assert await walked(Walk(str(root), Deadline(10), lambda path: path == f"{root}/b")) == ["a", "b.txt", "c.txt", "link"]


async def test_the_time_is_bounded(tmp_path: Path) -> None:
    """It ends at the next directory."""
    root = fill(tmp_path)
    with pytest.raises(TookTooLongError):
        await walked(Walk(str(root), Deadline(-1), lambda _path: False))


async def test_a_tree_without_end_is_not_followed(tmp_path: Path) -> None:
    """Beyond a depth that no project has."""
    root = deep = fill(tmp_path / "root")
    for _ in range(120):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "x").write_text("")
    assert await walked(Walk(str(root), Deadline(10), lambda path: path == f"{root}/b")) == ["a", "b.txt", "c.txt", "link"]
