"""What the OpenAI SDK knows: the address and the headers of a request. Everything else is ours (connections.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx2
import openai

from agentd.providers.dialect import Rehearse

_NO_KEY: Final = "none"  # what a host gets that asks for no key: the SDK insists on one
_HEADERS: Final = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}


def rehearsal(path: str) -> Rehearse:
    """Of a streaming request to `path`. Raises ValueError for what the SDK refuses."""

    async def rehearse(http: httpx2.AsyncClient, base: str, key: str, headers: Mapping[str, str]) -> None:
        try:
            client = openai.AsyncOpenAI(
                api_key=key or _NO_KEY,
                base_url=base,
                default_headers=headers,
                max_retries=0,
                timeout=httpx2.Timeout(None),  # else it would tell the host how long we wait
                http_client=http,
            )
            response = await client.post(path, content=b"{}", cast_to=httpx2.Response, stream=True, options={"headers": _HEADERS})
        except openai.OpenAIError as error:
            raise ValueError(str(error)) from None
        await response.aclose()

    return rehearse
