from __future__ import annotations

import pytest

from agentd.providers.messages_errors import classify
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

WHO = "api.anthropic.com"


def failed(kind: str, message: str = "no", **more: object) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, failed("invalid_request_error", "messages: roles must alternate"), BadRequest),
        (400, failed("invalid_request_error", "prompt is too long: 213000 tokens > 200000 maximum"), ContextTooLong),
        (400, failed("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3"), ContextTooLong),
        (400, failed("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), OutOfCredit),
        (400, failed("invalid_request_error", "You have reached your specified API usage limits."), OutOfCredit),
        (400, failed("invalid_request_error", "Output blocked by content filtering policy"), Refused),
        (401, failed("authentication_error", "invalid x-api-key"), AuthFailed),
        (402, failed("billing_error"), OutOfCredit),
        (403, failed("permission_error"), AuthFailed),
        (404, failed("not_found_error", "model: claude-x"), BadRequest),
        (413, failed("request_too_large"), ContextTooLong),
        (429, failed("rate_limit_error"), RateLimited),
        (429, failed("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}), RateLimited),
        (429, failed("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), OutOfCredit),
        (500, failed("api_error"), ProviderDown),
        (504, failed("timeout_error"), ProviderTimeout),
        (529, failed("overloaded_error"), ProviderOverloaded),
        (529, "<html>", ProviderOverloaded),
        (None, failed("overloaded_error"), ProviderOverloaded),
        (None, failed("new_error"), ProviderDown),
        # hosts beside the vendor
        (400, {"error": {"code": 400, "message": "too many", "type": "exceed_context_size_error"}}, ContextTooLong),
        (401, {"error": "Unauthorized"}, AuthFailed),
        (401, failed("invalid_request_error", "Incorrect API key provided: sk-1."), AuthFailed),
        (402, failed("invalid_request_error", "Insufficient Balance"), OutOfCredit),
        (429, failed("invalid_request_error", "slow down"), RateLimited),
        (503, failed("invalid_request_error", "no upstream"), ProviderDown),
        (422, {"detail": "field required"}, BadRequest),
        (502, "<html>bad gateway</html>", ProviderDown),
    ],
)
def test_what_is_said(status: int | None, body: object, expected: type[ProviderError]) -> None:
    """The type decides, then the message of a wrong request, then whatever other hosts use."""
    assert type(classify(WHO, status, body)) is expected


def test_sentence() -> None:
    """Whose fault it is, in its own words, and what to do; the wait that was asked for, where waiting helps."""
    error = classify(WHO, 401, failed("authentication_error", "invalid\n bearer token"), retry_after=3)
    assert str(error) == "api.anthropic.com answered 401: invalid bearer token. Check the API key."
    assert error.retry_after is None
    assert classify(WHO, 429, failed("rate_limit_error"), retry_after=3).retry_after == 3
