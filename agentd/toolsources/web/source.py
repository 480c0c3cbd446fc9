"""`fetch`: a URL as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import field, frozen

from agentd.ports import FixedTools, Place, ToolContext, ToolOutcome
from agentd.toolsources.arguments import structured
from agentd.toolsources.web import text as _text
from agentd.toolsources.web.address import Target, target_of
from agentd.toolsources.web.fetching import MOST_BYTES, Page, fetch
from agentd.toolsources.web.specs import ALL
from agentwire.errors import ToolError
from agentwire.types import Access, Image, ResultPart, Text

_IMAGES: Final = frozenset(("image/png", "image/jpeg", "image/webp", "image/gif"))


@frozen
class _Fetch:
    url: str = field()


class WebTools(FixedTools):
    """`private`: the hosts (name, or name:port) that may be reached although they are not on the public internet."""

    name = "web"
    offered = ALL

    def __init__(self, private: Callable[[], Sequence[str]] = tuple) -> None:
        self._private = private

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        return (Access(kind="network", target=target_of(structured(arguments, _Fetch).url).host),)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        target = target_of(structured(arguments, _Fetch).url)
        if context.accesses and Access(kind="network", target=target.host) not in context.accesses:
            raise ToolError(f"{target.host} is not what was allowed")
        page = await fetch(target, self._may_reach)
        if page.elsewhere:
            text = f"{target.url} is at another host now. To go on there: fetch {page.elsewhere}"
            return ToolOutcome(outcome="ok", parts=(Text(text=text),))
        parts = await _parts(page, context)
        return ToolOutcome(outcome="ok" if page.status < 400 else "error", parts=parts)

    def _may_reach(self, target: Target) -> bool:
        return any(allowed in (target.host, f"{target.host}:{target.port}") for allowed in self._private())


async def _parts(page: Page, context: ToolContext) -> tuple[ResultPart, ...]:
    if page.media in _IMAGES and context.blob is not None and page.status < 400:
        if page.cut:
            raise ToolError(f"the image is larger than {MOST_BYTES:,} bytes")
        kept = await context.blob(page.content, page.media)
        return (Text(text=f"{page.url}: an image"), Image(blob=kept.blob, bytes=kept.bytes, media=page.media))
    if not _text.is_text(page):
        return (Text(text=f"{page.url}: HTTP {page.status}, {page.media}, {len(page.content):,} bytes, which is no text"),)
    text = await trio.to_thread.run_sync(_text.readable, page, abandon_on_cancel=True)
    head = "" if page.status == 200 else f"HTTP {page.status}\n\n"
    end = f"\n\n[cut after {MOST_BYTES:,} bytes]" if page.cut else ""
    return (Text(text=f"{head}{text or '(the page is empty)'}{end}"),)
