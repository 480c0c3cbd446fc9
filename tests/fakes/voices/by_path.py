"""Which dialect a request is in."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.voices import Voice
from tests.fakes.voices.chat import ChatVoice

VOICES: Mapping[str, type[Voice]] = {
    "/chat/completions": ChatVoice,
}
"""The end of a path to which replies are streamed, and the voice that speaks them."""

LISTS = ("/models",)
"""The ends of the paths that list models."""


def voice_of(path: str, headers: Mapping[str, str]) -> type[Voice]:
    """The voice of the dialect that such a request is in, as far as it shows; else Chat Completions."""
    where = path.partition("?")[0]
    return next((voice for end, voice in VOICES.items() if where.endswith(end)), ChatVoice)


def streams(path: str) -> bool:
    """Whether replies are streamed there."""
    return path.partition("?")[0].endswith(tuple(VOICES))
