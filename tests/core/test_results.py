"""A long result is a blob that its event shows the beginning and the end of."""

from __future__ import annotations

import trio.testing

from agentd.core.results import bounded
from agentd.ports import ToolOutcome
from agentwire.types import BlobRef, Text
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say
from tests.fakes.tools import said


async def test_what_is_long_is_a_blob(autojump_clock: trio.testing.MockClock) -> None:
    """Texts together count; what is no text stays as it is. A short result is untouched."""
    async with open_house(FakeModels(lambda _: Say(["ok"]))) as house:
        session = (await house.create()).state.id
        short, image = said("x" * 65536), BlobRef(blob="0" * 64, bytes=1, media="image/png")
        assert await bounded(house.store, session, short) is short.parts
        long = ToolOutcome(outcome="error", parts=(Text(text="a" * 40_000), image, Text(text="ü" * 40_000)))
        whole, other = await bounded(house.store, session, long)
        assert isinstance(whole, BlobRef) and whole.bytes == 120_000 and other is image
        assert whole.head == "a" * 16384 and whole.tail == "ü" * 16384
        assert await house.store.get_blob(session, whole.blob, 39_999, 3) == (b"a\xc3\xbc", 120_000)
