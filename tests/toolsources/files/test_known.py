"""What sessions know of files: bounded, forgotten in the order of use."""

from __future__ import annotations

from pathlib import Path

from agentd.toolsources.files.known import Known, Memory


def test_memory_is_bounded(tmp_path: Path) -> None:
    """What was noted longest ago is forgotten first; a file that is forgotten must be read again."""
    known = Known.whole(tmp_path.stat(), b"")
    memory = Memory(bound=3)
    for path in ("a", "b", "c", "a", "d"):
        memory.note("s", path, known)
    assert [memory.get("s", path) is not None for path in ("a", "b", "c", "d")] == [True, False, True, True]
    assert memory.get("other", "a") is None


def test_digests_decide_where_both_are_known(tmp_path: Path) -> None:
    """Else the file's times, size and number do."""
    about = tmp_path.stat()
    one, other = Known.whole(about, b"x"), Known.whole(about, b"y")
    part = Known(one.stamp, None)
    assert not one.is_now(other)
    assert part.is_now(one)
    (tmp_path / "new").touch()
    assert not part.is_now(Known.whole(tmp_path.stat(), b"x"))
    assert one.is_now(Known.whole(tmp_path.stat(), b"x"))
