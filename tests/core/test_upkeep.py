"""When a snapshot is worth its bytes."""

from __future__ import annotations

from agentd.core.upkeep import snapshot_due


def test_a_short_session_needs_no_snapshot() -> None:
    """500 events are replayed sooner than a snapshot of them would be written and read."""
    assert not snapshot_due(499, 0)
    assert snapshot_due(500, 0)
    assert not snapshot_due(999, 500)


def test_what_is_written_stays_in_proportion() -> None:
    """Over a session's life its snapshots together hold at most six times its events, and a quarter at most is replayed."""
    written = saved = 0
    for seq in range(100_000):
        if snapshot_due(seq, saved):
            saved = seq
            written += seq
        assert seq - saved <= max(500, saved / 4)
    assert written < 6 * 100_000
