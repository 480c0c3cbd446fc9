"""File tools called as the loop does it: planned, and then run with just what was planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import Factory, define, evolve

from agentd.ports import ToolContext, ToolOutcome
from agentd.toolsources.files.source import FileTools
from agentwire.errors import ToolError
from agentwire.types import Access, BlobRef, Text


def text_of(outcome: ToolOutcome) -> str:
    return "".join(part.text for part in outcome.parts if isinstance(part, Text))


@define
class FileCalls:
    """A session in `root` that calls tools of `source`. `blobs`: what it has kept, with the media type."""

    source: FileTools
    root: Path
    session: str = "s"
    blobs: dict[str, tuple[bytes, str]] = Factory(dict)

    async def outcome(self, tool: str, **arguments: Any) -> ToolOutcome:
        return await self.run(tool, self.plan(tool, **arguments), **arguments)

    async def text(self, tool: str, **arguments: Any) -> str:
        return text_of(await self.outcome(tool, **arguments))

    async def error(self, tool: str, **arguments: Any) -> str:
        """What it says where it refuses."""
        try:
            outcome = await self.outcome(tool, **arguments)
        except ToolError as error:
            return str(error)
        raise AssertionError(f"{tool} was done: {text_of(outcome)}")

    def plan(self, tool: str, **arguments: Any) -> tuple[Access, ...]:
        return tuple(self.source.accesses(tool, arguments, self.context()))

    async def run(self, tool: str, accesses: tuple[Access, ...], **arguments: Any) -> ToolOutcome:
        return await self.source.call(tool, arguments, evolve(self.context(), accesses=accesses))

    def context(self) -> ToolContext:
        root = str(self.root)
        return ToolContext(call="c", session=self.session, cwd=root, roots=(root,), blob=self._keep)

    async def _keep(self, content: bytes, media: str) -> BlobRef:
        name = f"blob-{len(self.blobs)}"
        self.blobs[name] = (content, media)
        return BlobRef(blob=name, bytes=len(content), media=media)
