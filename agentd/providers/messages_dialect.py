"""Anthropic's Messages dialect (https://platform.claude.com/docs/en/api/messages), which many a host speaks beside its vendor."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agentd.ports import Prompt
from agentd.providers.catalog import ModelData
from agentd.providers.dialect import Listed, Rehearse
from agentd.providers.messages_decoder import MessagesDecoder
from agentd.providers.messages_errors import classify, spurns_thoughts
from agentd.providers.messages_request import MessagesRequests
from agentwire.errors import ProviderDown, ProviderError
from agentwire.types import Text


class _ModelEntry(msgspec.Struct):
    id: str
    display_name: str | None = None
    max_input_tokens: int | None = None


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry]


_models = msgspec.json.Decoder(_ModelList)


class MessagesDialect:
    """A `Dialect` (dialect.py). `provider`: the name that signatures are kept under."""

    base = "https://api.anthropic.com"
    keyed = True
    path = "/v1/messages"
    models_path = "/v1/models?limit=1000"  # the longest page there is: nobody has so many
    content_types: Sequence[str] = ("text/event-stream", "text/plain", "application/octet-stream", "")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._requests = MessagesRequests(provider)

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        return self._requests.encode(prompt, data)

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> MessagesDecoder:
        seam = _seam(prompt) if data.prefill else ""
        return MessagesDecoder(who, seal={"provider": self._provider, "model": prompt.model}, seam=seam)

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        """A session is not lost for a thought that the host will not have back: the request can be repeated without any."""
        error = classify(who, status, body, retry_after=retry_after)
        if status == 400 and spurns_thoughts(body) and self._requests.forget_thoughts():
            return ProviderDown(error.message, retry_after=0.0)
        return error

    def listed(self, body: bytes) -> Sequence[Listed]:
        return [
            Listed(name=entry.id, context=entry.max_input_tokens or 0, note=entry.display_name or "")
            for entry in _models.decode(body).data
        ]

    def rehearse(self) -> Rehearse:
        from agentd.providers.anthropic_sdk import rehearse

        return rehearse


def _seam(prompt: Prompt) -> str:
    if not prompt.continuing or not prompt.messages:
        return ""
    text = "".join([part.text for part in prompt.messages[-1].parts if isinstance(part, Text)])
    return text[len(text.rstrip()) :]
