"""OpenAI's Chat Completions dialect, of OpenAI itself and of all who speak it: what is asked (chat_request.py), and what is said
(chat_decoder.py, chat_errors.py). Sans-IO.

Reasoning that its host wants back is sealed with the provider's name alone: what another one made is told apart from it, and
reasoning that nobody wants back costs no byte in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from agentd.ports import Prompt
from agentd.providers.catalog import ModelData
from agentd.providers.chat_decoder import ChatDecoder
from agentd.providers.chat_errors import classify
from agentd.providers.chat_request import ChatRequests, echoes
from agentd.providers.dialect import Listed, Rehearse
from agentwire.errors import ProviderError

VENDORS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com",
    "qwen": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
}
"""The base URLs of the vendors that speak it, by their providers' names."""

_OFFICIAL = ".api.openai.com"
"""OpenAI's own hosts, with a dot before them: there are some with a region in front."""


class _Entry(Struct, gc=False):
    id: str
    context_length: int | None = None  # OpenRouter, and LM Studio in some versions
    max_model_len: int | None = None  # vLLM


class _Models(Struct, gc=False):
    data: list[_Entry]


_models = msgspec.json.Decoder(_Models)


def listed(body: bytes) -> Sequence[Listed]:
    """OpenAI's list of models, with what compatible hosts add. Raises ValueError if it is none."""
    return [Listed(name=entry.id, context=entry.context_length or entry.max_model_len or 0) for entry in _models.decode(body).data]


class ChatDialect:
    """A `Dialect` (dialect.py). `provider`: the name under which reasoning is kept. `base_url`: where it is served, empty for the
    vendor's own host."""

    keyed = True
    path = "/chat/completions"
    models_path = "/models"
    content_types = ("text/event-stream", "text/plain", "application/octet-stream", "")
    """Some hosts send a vague one, or none."""

    def __init__(self, provider: str, base_url: str = "") -> None:
        self.base = VENDORS.get(provider, VENDORS["openai"])
        host = urlsplit(base_url or self.base).hostname or ""
        self._seal = {"provider": provider}
        self._requests = ChatRequests(provider, official=f".{host}".endswith(_OFFICIAL))

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        return self._requests.encode(prompt, data)

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> ChatDecoder:
        return ChatDecoder(who, self._seal if echoes(data) else None)

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        return classify(who, status, body, retry_after=retry_after)

    def listed(self, body: bytes) -> Sequence[Listed]:
        return listed(body)

    def rehearse(self) -> Rehearse:
        from agentd.providers.openai_sdk import rehearsal

        return rehearsal(self.path)
