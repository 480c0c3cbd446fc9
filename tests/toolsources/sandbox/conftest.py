"""A place with real walls, made anew for each test; and nothing left behind by any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.processes import children, open_fds
from tests.fakes.walls import Place, place


@pytest.fixture(name="place")
def _place() -> Iterator[Place]:
    with place() as made:
        fds, pids = open_fds(), children()
        yield made
        assert children() <= pids
        assert open_fds() <= fds  # a thread of another test may have closed some meanwhile
