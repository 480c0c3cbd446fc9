"""The methods about jobs, as a client has them."""

from __future__ import annotations

import pytest
import trio

from agentwire.errors import NotFound
from tests.fakes.yard import yard


async def test_a_client_lists_reads_and_kills() -> None:
    """As the table of methods says, for one's own sessions."""
    async with yard() as place:
        session = place.live.state.id
        await place.start(f"printf 'gr\\303\\274n\\303'; echo > {place.box.path}; sleep 1000")
        await place.box.read()
        while (await place.said(1))[2] < 6:
            await trio.lowlevel.checkpoint()
        read = await place.house.ask("job/output", session=session, number=1)
        assert (read["text"], read["offset"], read["end"], read["oldest"]) == ("grün", 0, 5, 0)  # half a letter waits
        assert (await place.house.ask("job/kill", session=session, number=1))["state"] == "killed"
        read = await place.house.ask("job/output", session=session, number=1, offset=5)
        assert (read["text"], read["end"], read["job"]["state"]) == ("\ufffd", 6, "killed")
        (job,) = (await place.house.ask("job/list", session=session))["jobs"]
        assert (job["number"], job["state"]) == (1, "killed")
        with pytest.raises(NotFound):
            await place.house.call("job/kill", session=session, number=2)


async def test_long_output_is_read_in_pieces() -> None:
    """Each goes on where the one before ended, and together they are all of it."""
    async with yard() as place:
        await place.ended("yes ü | head -c 200001")
        session, offset, text = place.live.state.id, 0, ""
        while (read := await place.house.ask("job/output", session=session, number=1, offset=offset))["text"]:
            assert read["offset"] == offset and len(read["text"].encode()) <= 65536
            offset, text = read["end"], text + read["text"]
        assert offset == 200_001 and text == "ü\n" * 66_667
