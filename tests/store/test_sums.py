"""Sums: whatever changes in a row, they notice."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.store.sums import sealed, sum_of, unsealed

ROW: dict[str, Any] = {"stream": "s", "user": "ann", "seq": 1, "at": 1.5, "kind": "k", "version": 1, "data": b'{"a":1}'}


@pytest.mark.parametrize(
    "change",
    [{"stream": "t"}, {"user": "bob"}, {"seq": 2}, {"at": 1.5000001}, {"kind": "l"}, {"version": 2}, {"data": b'{"a":2}'}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_an_event_counts(change: dict[str, Any]) -> None:
    """None of them can change without the sum."""
    assert sum_of(**ROW) != sum_of(**{**ROW, **change})


def test_sums_fit_four_bytes_and_stay_what_they_are() -> None:
    """Rows on disks everywhere have them: the sum of a row is the same in every release."""
    assert sum_of(**ROW) == -1229991271 and sum_of(**{**ROW, "at": 2}) == sum_of(**{**ROW, "at": 2.0})
    assert all(-(2**31) <= sum_of(**{**ROW, "seq": seq}) < 2**31 for seq in range(100))


@pytest.mark.parametrize("place", range(10))
def test_sealed_content_comes_back_or_not_at_all(place: int) -> None:
    """A changed byte anywhere, or another meaning, and there is nothing."""
    stored = sealed(b"states", "s 1 code")
    changed = bytearray(stored)
    changed[place] ^= 1
    assert unsealed(stored, "s 1 code") == b"states" and unsealed(stored, "s 2 code") is None
    assert unsealed(bytes(changed), "s 1 code") is None and unsealed(b"", "s 1 code") is None
