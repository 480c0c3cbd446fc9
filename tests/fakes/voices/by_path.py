"""Which dialect a request is in."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.voices import Voice
from tests.fakes.voices.chat import ChatVoice
from tests.fakes.voices.messages import MessagesVoice
from tests.fakes.voices.ollama import OllamaVoice
from tests.fakes.voices.responses import ResponsesVoice

REPLIES: Mapping[str, type[Voice]] = {
    "/chat/completions": ChatVoice,
    "/responses": ResponsesVoice,
    "/api/chat": OllamaVoice,
    "/v1/messages": MessagesVoice,
}
"""The ends of the paths to which replies are streamed, and the voices that speak them."""

LISTS: Mapping[str, type[Voice]] = {
    "/models": ChatVoice,
    "/api/tags": OllamaVoice,
}
"""The ends of the paths that list models. Where two dialects share one, a header tells them apart (`voice_of`)."""

_OTHERS: Mapping[str, type[Voice]] = {
    "/api/pull": OllamaVoice,
}


def voice_of(path: str, headers: Mapping[str, str]) -> type[Voice]:
    """The voice of the dialect that such a request is in, as far as it shows; else Chat Completions."""
    where = path.partition("?")[0]
    if where.endswith("/v1/models") and "anthropic-version" in headers:
        return MessagesVoice
    return next((voice for end, voice in {**REPLIES, **LISTS, **_OTHERS}.items() if where.endswith(end)), ChatVoice)


def is_one_of(path: str, ends: Mapping[str, type[Voice]]) -> bool:
    """Whether the path, without its query, ends like one of these."""
    return path.partition("?")[0].endswith(tuple(ends))
