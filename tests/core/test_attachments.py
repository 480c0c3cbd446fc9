"""Images and files on their way from a prompt to a model request."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from agentd.core import attachments
from agentd.core.live import Live
from agentwire.errors import InvalidParams
from tests.fakes.house import House, open_house
from tests.fakes.models import FakeModels, Say

PIXEL = b"\x89PNG" + bytes(64)


async def put(house: House, live: Live, content: bytes) -> str:
    """Into the session; returns its name."""
    blob = hashlib.sha256(content).hexdigest()
    for offset in range(0, len(content), 256 * 1024):
        data = base64.b64encode(content[offset : offset + 256 * 1024]).decode()
        await house.ask("blob/put", session=live.state.id, blob=blob, bytes=len(content), offset=offset, data=data)
    return blob


def image(blob: str, size: int = len(PIXEL), media: str = "image/png") -> dict[str, Any]:
    return {"kind": "image", "blob": blob, "bytes": size, "media": media}


async def ask(house: House, live: Live, *parts: dict[str, Any]) -> None:
    await house.call("session/prompt", session=live.state.id, parts=[{"kind": "text", "text": "what is it?"}, *parts])
    await house.idle(live)


async def test_the_model_gets_the_content() -> None:
    """Also with the next turn, and after the session was loaded again."""
    models = FakeModels(lambda prompt: Say(["a pixel"]))
    async with open_house(models) as house:
        live = await house.create()
        blob = await put(house, live, PIXEL)
        file = {"kind": "file", "blob": blob, "bytes": len(PIXEL), "media": "application/pdf", "name": "a b.pdf"}
        await ask(house, live, image(blob), file)
        await ask(house, live)
        assert [prompt.blobs for prompt in models.prompts] == [{blob: PIXEL}] * 2
        assert live.state.messages[0].size > attachments.MOST // 10_000


async def test_without_any_nothing_is_read() -> None:
    models = FakeModels(lambda prompt: Say(["hi"]))
    async with open_house(models) as house:
        await ask(house, await house.create())
        assert models.prompts[0].blobs == {}


async def test_the_newest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has an end: what does not fit is left out, oldest first, and what is kept of all sessions has one, too."""
    monkeypatch.setattr(attachments, "MOST", 150)
    monkeypatch.setattr(attachments, "_KEPT", 100)
    models = FakeModels(lambda prompt: Say(["hm"]))
    async with open_house(models) as house:
        live = await house.create()
        contents = [bytes([n]) * 70 for n in range(3)]
        for content in contents:
            await ask(house, live, image(await put(house, live, content), 70))
        assert set(models.prompts[-1].blobs.values()) == set(contents[1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"media": "image/tiff"}, r"params\.parts\[1\]\.media: expected one of image/gif"),
        ({"blob": "0" * 64}, "this session has no blob 0000"),
        ({"bytes": 3}, r"params\.parts\[1\]\.bytes: the blob has 68"),
        ({"kind": "file", "media": "text/x", "name": "a\nb"}, r"params\.parts\[1\]\.name"),
        ({"kind": "file", "media": "application/json", "name": ""}, r"params\.parts\[1\]\.name"),
        (
            {"kind": "file", "name": "a.zip", "media": "application/zip"},
            r"parts\[1\]\.media: expected that of an image .*, a PDF or a",
        ),
    ],
)
async def test_refused(change: dict[str, Any], said: str) -> None:
    """Before anything is accepted."""
    async with open_house(FakeModels(lambda prompt: Say(["hi"]))) as house:
        live = await house.create()
        part = image(await put(house, live, PIXEL)) | change
        with pytest.raises(InvalidParams, match=said):
            await ask(house, live, part)
        assert house.kinds(live) == ["session_created"]


async def test_blob_of_another_session() -> None:
    """Nobody is shown what is not in the session."""
    async with open_house(FakeModels(lambda prompt: Say(["hi"]))) as house:
        blob = await put(house, await house.create(), PIXEL)
        with pytest.raises(InvalidParams, match="this session has no blob"):
            await ask(house, await house.create(), image(blob))


async def test_fork_keeps_them() -> None:
    """The fork's model sees the same."""
    models = FakeModels(lambda prompt: Say(["a pixel"]))
    async with open_house(models) as house:
        live = await house.create()
        blob = await put(house, live, PIXEL)
        await ask(house, live, image(blob))
        forked = await house.ask("session/fork", session=live.state.id)
        await house.ask("session/delete", session=live.state.id)
        await ask(house, await house.sessions.open("local", forked["id"]))
        assert models.prompts[-1].blobs == {blob: PIXEL}
