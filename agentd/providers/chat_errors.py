"""What a Chat Completions host says when it fails -> our error classes. No I/O.

Hosts agree on the shape `{"error": {"message", "type", "code"}}` only roughly, so the codes and words below are data: the ones
that OpenAI, DeepSeek, DashScope, OpenRouter, vLLM, Ollama and llama.cpp are known to send. The status decides where no word does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

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

_SAID = 500  # characters of the host's own words in a message

_WORDS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"insufficient_(quota|balance|credit)|billing_|credit_limit|insufficient balance|arrearage"), OutOfCredit),
    (re.compile(r"context_length|context_window|exceed_context_size|string_above_max_length"), ContextTooLong),
    (re.compile(r"content_filter|_policy|invalid_prompt|responsible_?ai|safety_violation|moderation|data_?inspection"), Refused),
    (re.compile(r"invalid_api_key|authentication|permission_denied|unauthorized"), AuthFailed),
    (re.compile(r"rate_?limit|too_many_requests"), RateLimited),
    (re.compile(r"overloaded|server_busy|at_capacity"), ProviderOverloaded),
    (re.compile(r"timeout|timed_out"), ProviderTimeout),
    (re.compile(r"server_error|internal|unavailable|api_error"), ProviderDown),
    (re.compile(r"invalid_request|invalid_value|unsupported|not_found|_image|image_|residency"), BadRequest),
)
"""Looked for in the body's `code` and `type`."""

_LONG_PROMPT = re.compile(
    r"maximum context length|context (length|window|size)|prompt is too long|too many (input )?tokens|input is too long"
)
"""Looked for in the message of a 400 or 413: many hosts have no code for it."""

_BUSY = re.compile(r"overloaded|too busy|(over|at|out of) capacity|insufficient system resource|no (available )?slot")
"""Looked for in the message of a 5xx: it works, but has too much to do."""

_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthFailed,
    402: OutOfCredit,
    403: AuthFailed,
    408: ProviderTimeout,
    413: ContextTooLong,
    425: ProviderDown,
    429: RateLimited,
    504: ProviderTimeout,
    529: ProviderOverloaded,
}

_ADVICE: Mapping[type[ProviderError], str] = {
    AuthFailed: "Check the API key.",
    OutOfCredit: "Check the account's credit.",
}


def classify(who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
    """The error for a failed answer of `who`. `status` None: the error came inside the stream. `retry_after` in seconds."""
    error = error_in(body)
    said, code = words(error), ""
    if isinstance(error, Mapping):
        code = f"{error.get('code') or ''} {error.get('type') or ''}"
        if status is None and isinstance(error.get("code"), int):
            status = error["code"]
    return failure(_class(status, code, said), who, status, said, retry_after=retry_after)


def failure(
    cls: type[ProviderError], who: str, status: int | None, said: str, *, retry_after: float | None = None
) -> ProviderError:
    """The error, in a sentence that says whose it is, what its host `said`, and what to do; its `details` have the status."""
    text = f"{who} answered {status}" if status is not None else f"{who} reported an error in its reply"
    text = f"{text}: {said}" if said else f"{text}."
    if advice := _ADVICE.get(cls):
        text += f" {advice}" if text.endswith((".", "!", "?")) else f". {advice}"
    details = {} if status is None else {"status": status}
    return cls(text, retry_after=retry_after if cls.retryable else None, **details)


def _class(status: int | None, code: str, said: str) -> type[ProviderError]:
    if status in (None, 400, 413) and _LONG_PROMPT.search(said.lower()):
        return ContextTooLong
    worded = next((cls for pattern, cls in _WORDS if pattern.search(code.lower())), None)
    if status is None:
        return worded or ProviderDown
    if status >= 500:  # a word cannot make a broken server's answer final, except the first two
        if worded in (OutOfCredit, ContextTooLong, ProviderOverloaded):
            return worded
        return ProviderOverloaded if _BUSY.search(said.lower()) else _STATUS.get(status, ProviderDown)
    if worded in (OutOfCredit, ContextTooLong, Refused) or (status == 400 and worded is AuthFailed):
        return worded
    return _STATUS.get(status, BadRequest)


def error_in(body: object) -> object:
    """What an answer says under `error`; all of it, if it has no such field. Gemini puts it into a list of one."""
    if isinstance(body, list) and body:
        body = body[0]
    return body.get("error", body) if isinstance(body, Mapping) else body


def words(error: object) -> str:
    """The host's own words, on one line."""
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or error.get("msg") or ""
    text = " ".join(str(error).split()) if error else ""
    return text if len(text) <= _SAID else text[:_SAID] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the host asks us to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date); None if it does not."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
