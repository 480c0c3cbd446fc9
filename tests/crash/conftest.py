"""A home with the script's tools, and the script's model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.script import RULES, TOOLS
from tests.fakes.real import Home, Models


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        home.write("config/tools/tools.py", TOOLS)
        home.make_fifo("gate")
        yield home
