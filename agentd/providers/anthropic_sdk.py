"""What the Anthropic SDK knows: the address and the headers of a request. Everything else is ours (connections.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import anthropic
import httpx2

_OFFICIAL: Final = "api.anthropic.com"
_COMPATIBLE: Final = "2023-06-01"
"""The version of the API that hosts beside Anthropic's own know; theirs is the SDK's."""
_NO_KEY: Final = "none"  # what a host gets that asks for no key: the SDK insists on one
_OPTIONS: Final[anthropic.RequestOptions] = {
    "headers": {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "x-stainless-timeout": anthropic.omit,  # it says `NOT_GIVEN`
    }
}


async def rehearse(http: httpx2.AsyncClient, base: str, key: str, headers: Mapping[str, str]) -> None:
    """A `Rehearse` (dialect.py). Compatible hosts get the key twice: the SDK's way is new, many look for the old."""
    key = key or _NO_KEY
    known = {} if urlsplit(base).hostname == _OFFICIAL else {"x-api-key": key, "anthropic-version": _COMPATIBLE}
    try:
        client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=base,
            default_headers={**known, **headers},
            max_retries=0,
            timeout=httpx2.Timeout(None),  # else it would tell the host how long we wait
            open_telemetry=False,
            http_client=http,
        )
        response = await client.post("/v1/messages", content=b"{}", cast_to=httpx2.Response, stream=True, options=_OPTIONS)
    except anthropic.AnthropicError as error:
        raise ValueError(str(error)) from None
    await response.aclose()
