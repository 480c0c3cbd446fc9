"""Anthropic's Messages dialect, sans-IO: a message of ours -> its blocks, as they go over the wire.

What hosts refuse is left out, put differently, or stands for something: texts without anything to read, thoughts that are not the
model's own or have nothing behind them, arguments that are no object, names in letters that they do not take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agentd.ports import Message
from agentd.providers.contents import as_text, encoded, images_of, instead, result_text, usable
from agentd.providers.encoding import as_json
from agentd.providers.names import plain
from agentwire.types import Citation, File, Image, Part, Reasoning, Text, ToolCall, ToolResult

EMPTY: Final = "[empty]"
"""Stands for what has no text: hosts refuse blocks without any."""

THOUGHTS: Final = frozenset(("thinking", "redacted_thinking"))
"""Types of blocks."""

_IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_NAME = 128  # characters of a tool's name

_arguments = msgspec.json.Decoder(dict[str, Any])


class Way(NamedTuple):
    """How messages are encoded: whose thoughts go back (with an empty `provider` none do), and what the model takes."""

    provider: str
    model: str
    images: bool
    files: bool

    def encode(self, message: Message, blobs: Mapping[str, bytes]) -> bytes:
        """The message behind a comma; nothing for an empty one."""
        said = self.said(message, blobs)
        return in_role("assistant" if message.role == "assistant" else "user", said) if said else b""

    def said(self, message: Message, blobs: Mapping[str, bytes]) -> list[dict[str, Any]]:
        """Its blocks. A reply may have none, if it only thought, or was cut off at once."""
        said: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, Text) and message.role == "assistant" and said and said[-1]["type"] == "text":
                said[-1]["text"] += part.text  # of a reply that was continued, or that has a citation within
            else:
                said += self._part(part, blobs)
        said = [block for block in said if block["type"] != "text" or block["text"].strip()]
        if message.role == "user":
            return said or [text_block(EMPTY)]
        while said and said[-1]["type"] in THOUGHTS:  # hosts refuse them at the end
            said.pop()
        return said

    def _part(self, part: Part, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        match part:
            case Text():
                yield text_block(part.text)
            case ToolCall():
                yield {"type": "tool_use", "id": plain(part.id, _NAME), "name": plain(part.name, _NAME), "input": _input(part)}
            case ToolResult():
                yield self._result(part, blobs)
            case Reasoning():
                yield from self._thought(part)
            case Image() | File():
                yield self._attached(part, blobs)
            case Citation():
                pass  # the vendor made it: it knows

    def _thought(self, part: Reasoning) -> Iterator[dict[str, Any]]:
        """Goes back as it came, to the model whose it is: the vendor refuses what it did not sign."""
        vendor = part.vendor or {}
        if not self.provider or (vendor.get("provider"), vendor.get("model")) != (self.provider, self.model):
            return
        if data := vendor.get("data"):
            yield {"type": "redacted_thinking", "data": data}
        elif signature := vendor.get("signature"):
            yield {"type": "thinking", "thinking": part.text, "signature": signature}

    def _result(self, result: ToolResult, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        content = "".join([result_text(part) for part in result.parts])
        said: dict[str, Any] = {"type": "tool_result", "tool_use_id": plain(result.call, _NAME)}
        if content.strip() or result.is_error:  # an error that says nothing is refused
            said["content"] = content if content.strip() else EMPTY
        images = images_of([result], blobs, images=self.images)
        if images and not result.is_error:  # "all content must be type `text` if `is_error` is true"
            said["content"] = [text_block(said["content"]), *(self._attached(image, blobs) for image in images)]
        return said | {"is_error": True} if result.is_error else said

    def _attached(self, part: Image | File, blobs: Mapping[str, bytes]) -> dict[str, Any]:
        if isinstance(part, File) and (text := as_text(part, blobs)) is not None:
            return text_block(text)
        kinds = _IMAGES if isinstance(part, Image) else ("application/pdf",)
        if part.media not in kinds or not usable(part, blobs, images=self.images, files=self.files):
            return text_block(instead(part))
        source = {"type": "base64", "media_type": part.media, "data": encoded(part, blobs)}
        if isinstance(part, Image):
            return {"type": "image", "source": source}
        return {"type": "document", "source": source, "title": part.name}


def _input(call: ToolCall) -> dict[str, Any]:
    """Invalid arguments are wrapped: hosts take an object only, and the model shall see what it got wrong."""
    try:
        return _arguments.decode(call.arguments_json)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return {"invalid_json": call.arguments_json}


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def in_role(role: str, said: Sequence[Mapping[str, Any]]) -> bytes:
    return b"," + as_json({"role": role, "content": said})
