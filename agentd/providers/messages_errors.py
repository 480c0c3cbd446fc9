"""What a host of the Messages dialect says when it fails -> our error classes. No I/O.

Anthropic names the kind of every error in its `type`, some in `details.error_code`, and the other causes of a wrong request only in
its message (https://platform.claude.com/docs/en/api/errors). What other hosts say without these words is chat_errors.py's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentd.providers import chat_errors
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    Refused,
)

_TYPES: Mapping[str, type[ProviderError]] = {
    "invalid_request_error": BadRequest,
    "authentication_error": AuthFailed,
    "permission_error": AuthFailed,
    "billing_error": OutOfCredit,
    "not_found_error": BadRequest,
    "request_too_large": ContextTooLong,
    "rate_limit_error": RateLimited,
    "timeout_error": ProviderTimeout,
    "api_error": ProviderDown,
    "overloaded_error": ProviderOverloaded,
}

_NO_CREDIT = re.compile(r"spend_limit_reached|billing_(unavailable|not_authorized)|not_billable")
"""Looked for in `details.error_code`, whatever the type: waiting for a rate limit would not help."""

_CAUSES: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"prompt is too long|exceeds? (the )?context (limit|window)|context window"), ContextTooLong),
    (re.compile(r"credit balance|api usage limits"), OutOfCredit),
    (re.compile(r"content filtering policy"), Refused),
)
"""Looked for in the message of a wrong request: there is no code for these."""

_SPURNED = re.compile(r"invalid `?(signature|data)`? in `?(redacted_)?thinking|thinking`? blocks .*cannot be modified")

_OVERLOADED = 529
"""A status of Anthropic's own; its gateways send it also without a body."""


def classify(who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
    """The error for a failed answer of `who`. `status` None: the error came inside the stream. `retry_after` in seconds."""
    error = chat_errors.error_in(body)
    said = chat_errors.words(error)
    cls = _class(error if isinstance(error, Mapping) else {}, status, said.lower())
    if cls is None:
        return chat_errors.classify(who, status, body, retry_after=retry_after)
    return chat_errors.failure(cls, who, status, said, retry_after=retry_after)


def _class(error: Mapping[object, object], status: int | None, said: str) -> type[ProviderError] | None:
    details = error.get("details")
    if isinstance(details, Mapping) and _NO_CREDIT.search(str(details.get("error_code"))):
        return OutOfCredit
    cls = _TYPES.get(str(error.get("type")))
    if cls is BadRequest:
        cause = next((cause for pattern, cause in _CAUSES if pattern.search(said)), None)
        return cause or (cls if status in (None, 400, 404) else None)  # other hosts call everything so
    return ProviderOverloaded if cls is None and status == _OVERLOADED else cls


def spurns_thoughts(body: object) -> bool:
    """Whether an error says that the host does not recognise a thought as its own."""
    return _SPURNED.search(chat_errors.words(chat_errors.error_in(body)).lower()) is not None
