from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from agentd.providers.chat_errors import classify, retry_after
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


def body(message: str = "no", code: Any = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": kind}}


CASES: list[tuple[int | None, Any, type[ProviderError]]] = [
    (400, body(), BadRequest),
    (400, body(code="context_length_exceeded"), ContextTooLong),
    (400, body("This model's maximum context length is 8192 tokens"), ContextTooLong),
    (400, {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error"}}, ContextTooLong),  # llama.cpp
    (400, body(code="content_policy_violation"), Refused),
    (400, body("your prompt was filtered", "content_filter"), Refused),  # Azure
    (400, body(code="invalid_api_key"), AuthFailed),
    (401, body(code="invalid_api_key"), AuthFailed),
    (402, body("Insufficient Balance", "invalid_request_error"), OutOfCredit),  # DeepSeek
    (400, body("Access denied, your account is in arrears", "Arrearage", "Arrearage"), OutOfCredit),  # DashScope
    (400, body(code="data_inspection_failed"), Refused),
    (400, {"code": "DataInspectionFailed", "message": "inappropriate content"}, Refused),
    (400, [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}], BadRequest),  # Gemini
    (None, [{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}], RateLimited),
    (400, [], BadRequest),
    (403, body(), AuthFailed),
    (404, body(code="model_not_found"), BadRequest),
    (404, {"detail": "Not Found"}, BadRequest),  # FastAPI
    (408, body(), ProviderTimeout),
    (413, body(), ContextTooLong),
    (422, {"detail": [{"msg": "field required"}]}, BadRequest),
    (429, body(code="rate_limit_exceeded"), RateLimited),
    (429, body(code="insufficient_quota", kind="insufficient_quota"), OutOfCredit),
    (500, body(kind="server_error"), ProviderDown),
    (500, body(kind="invalid_request_error"), ProviderDown),
    (502, "<html><h1>Bad Gateway</h1></html>", ProviderDown),
    (503, "", ProviderDown),
    (500, body(code="insufficient_quota"), OutOfCredit),
    (503, body("The engine is currently overloaded", kind="server_error"), ProviderOverloaded),
    (503, body("Server overloaded, please retry", code="service_unavailable_error"), ProviderOverloaded),  # DeepSeek
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, ProviderDown),  # llama.cpp
    (504, "", ProviderTimeout),
    (529, "", ProviderOverloaded),
    (529, body(kind="overloaded_error"), ProviderOverloaded),
    (None, body(kind="engine_overloaded"), ProviderOverloaded),
    (None, body(code="timeout"), ProviderTimeout),
    (None, body(kind="server_error"), ProviderDown),
    (None, body(code="rate_limit_exceeded"), RateLimited),
    (None, body(code="context_length_exceeded"), ContextTooLong),
    (None, body(kind="invalid_request_error"), BadRequest),
    (None, body(code=429), RateLimited),  # OpenRouter: the status inside the stream
    (None, body(code=502), ProviderDown),
    (None, {"error": "something broke"}, ProviderDown),
    (None, {"object": "error", "message": "no", "code": 400}, BadRequest),  # old vLLM
]


@pytest.mark.parametrize(("status", "said", "expected"), CASES)
def test_class(status: int | None, said: Any, expected: type[ProviderError]) -> None:
    """Each way a host fails has the class on which router and loop decide."""
    assert type(classify("the host", status, said)) is expected


def test_message_says_who_what_and_what_to_do() -> None:
    assert (
        str(classify("api.x.org", 401, body("Bad key.\n  Sorry."))) == "api.x.org answered 401: Bad key. Sorry. Check the API key."
    )
    assert str(classify("api.x.org", 403, body("no entry"))) == "api.x.org answered 403: no entry. Check the API key."
    assert str(classify("api.x.org", None, {"error": {}})) == "api.x.org reported an error in its reply."


def test_an_error_in_a_list_is_read() -> None:
    """Gemini's host wraps its errors: its words are shown, not its brackets."""
    assert "answered 400: no such model." in classify("g", 400, [{"error": {"message": "no such model."}}]).message


def test_status_is_in_the_details() -> None:
    """A model that is not there is told from a wrong request by it."""
    assert classify("h", 404, body()).details == {"status": 404}
    assert classify("h", None, body()).details == {}


def test_long_words_are_cut() -> None:
    """A page of HTML does not become a page of error."""
    assert len(str(classify("h", 500, "x" * 10_000))) < 600


def test_only_what_may_be_repeated_has_a_wait() -> None:
    assert classify("h", 429, body(), retry_after=7).retry_after == 7
    assert classify("h", 401, body(), retry_after=7).retry_after is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after-ms": "x"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood; nonsense is as good as nothing."""
    assert retry_after(headers) == seconds


def test_retry_after_a_date_to_come() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert wait is not None
    assert 0 < wait <= 100
