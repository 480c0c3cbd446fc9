"""OpenAI's Responses dialect: what its host is asked, and what it says (responses_request.py, responses_decoder.py). Sans-IO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentd.ports import Prompt
from agentd.providers.catalog import ModelData
from agentd.providers.chat_dialect import VENDORS, ChatDialect, listed
from agentd.providers.chat_errors import classify
from agentd.providers.dialect import Listed, Rehearse
from agentd.providers.responses_decoder import ResponsesDecoder
from agentd.providers.responses_request import SEALS, SUMMARY, ResponsesRequests
from agentwire.errors import ProviderDown, ProviderError


class ResponsesDialect:
    """A `Dialect`. `provider`: the name under which its thoughts are kept, and sent back to nobody else."""

    base = VENDORS["openai"]
    keyed = True
    path = "/responses"
    models_path = "/models"
    content_types = ChatDialect.content_types

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._requests = ResponsesRequests(provider)

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        return self._requests.encode(prompt, data)

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> ResponsesDecoder:
        return ResponsesDecoder(who, seal={"provider": self._provider, "model": prompt.model})

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        """What only betters a request is left out from now on if the host does not want it, and the request can be repeated."""
        error = classify(who, status, body, retry_after=retry_after)
        if (unwanted := _unwanted(body)) is None:
            return error
        self._requests.leave_out(unwanted)
        return ProviderDown(error.message, retry_after=0.0)

    def listed(self, body: bytes) -> Sequence[Listed]:
        return listed(body)

    def rehearse(self) -> Rehearse:
        from agentd.providers.openai_sdk import rehearsal

        return rehearsal(self.path)


def _unwanted(body: object) -> str | None:
    """What of our own additions an error is about: summaries are for verified organisations only, and a sealed thought opens with
    the keys of one organisation."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    if error.get("param") == SUMMARY:
        return SUMMARY
    return SEALS if error.get("code") == "invalid_encrypted_content" else None
