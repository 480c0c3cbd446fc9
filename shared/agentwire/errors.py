"""Every error that crosses a border, with its code, HTTP status and exit code.

Standard library only: one-shot commands import this. A class exists only if some caller branches on it; `details` carries the
rest. `str(error)` is a sentence for people: what happened, why, what to do.
"""

from __future__ import annotations

TYPE_CHECKING = False  # true to type checkers; `typing` itself would cost every command a tenth of its start
if TYPE_CHECKING:
    from typing import Any, ClassVar

# JSON-RPC 2.0 reserves -32768..-32000; the five standard codes are used where they fit (https://www.jsonrpc.org/specification).
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_ERROR = -32000

MAX_MESSAGE = 2000
"""Characters of a message on the wire. It may quote what the peer sent, which may be megabytes."""


class AgentError(Exception):
    """The base of every expected failure. Anything else that escapes is a bug and becomes an `InternalError`."""

    code: ClassVar[str] = "error"
    rpc_code: ClassVar[int] = SERVER_ERROR
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after  # seconds
        self.details = details

    def to_wire(self) -> dict[str, Any]:
        """The JSON-RPC error object: `{code, message, data: {code, retryable, retry_after_ms?, details?}}`."""
        data: dict[str, Any] = {"code": self.code, "retryable": self.retryable}
        if self.retry_after is not None:
            data["retry_after_ms"] = round(self.retry_after * 1000)
        if self.details:
            data["details"] = self.details
        message = self.message if len(self.message) <= MAX_MESSAGE else f"{self.message[: MAX_MESSAGE - 1]}…"
        return {"code": self.rpc_code, "message": message, "data": data}


class InternalError(AgentError):
    """A bug of ours; `details["id"]` finds the traceback in the log."""

    code = "internal_error"
    rpc_code = INTERNAL_ERROR


class ProtocolError(AgentError):
    """The peer's bytes are not a valid frame or request."""

    code = "protocol_error"
    rpc_code = INVALID_REQUEST
    http_status = 400


class ParseError(ProtocolError):
    """The frame is not JSON: the only protocol error whose JSON-RPC code differs."""

    code = "parse_error"
    rpc_code = PARSE_ERROR


class InvalidParams(AgentError):
    code = "invalid_params"
    rpc_code = INVALID_PARAMS
    http_status = 400
    exit_code = 2


class UnknownMethod(AgentError):
    code = "unknown_method"
    rpc_code = METHOD_NOT_FOUND
    http_status = 404


class VersionMismatch(AgentError):
    """Client and daemon speak different protocol versions; `details` names both."""

    code = "version_mismatch"
    http_status = 400


class ConfigError(AgentError):
    """A configuration value is wrong: the message names file, line, key and what was expected."""

    code = "config_error"
    exit_code = 78


class Unreachable(AgentError):
    """No daemon answers on the socket (raised by clients only)."""

    code = "unreachable"
    exit_code = 3
    retryable = True


class Unauthorized(AgentError):
    code = "unauthorized"
    http_status = 401
    exit_code = 41


class Denied(AgentError):
    code = "denied"
    http_status = 403
    exit_code = 4


class NotFound(AgentError):
    code = "not_found"
    http_status = 404


class Conflict(AgentError):
    code = "conflict"
    http_status = 409


class CursorExpired(AgentError):
    """The log does not go on from the cursor: it lies before the oldest event kept, or behind the newest: take a fresh view."""

    code = "cursor_expired"
    http_status = 410


class Overloaded(AgentError):
    code = "overloaded"
    http_status = 429
    retryable = True


class Stopping(AgentError):
    code = "stopping"
    http_status = 503
    retryable = True


class DeadlineExceeded(AgentError):
    code = "deadline_exceeded"
    http_status = 504
    exit_code = 124
    retryable = True


class BudgetExceeded(AgentError):
    code = "budget_exceeded"
    http_status = 402
    exit_code = 6


class TurnLimit(AgentError):
    """The turn made as many model requests as it was allowed."""

    code = "turn_limit"
    exit_code = 53


class RepeatedCalls(TurnLimit):
    """The model made the same calls with the same results again and again."""

    code = "repeated_calls"


class InvalidAnswer(AgentError):
    """The model's answer does not follow the JSON schema that was given, also after it was asked again."""

    code = "invalid_answer"
    http_status = 502
    retryable = True


class StorageFull(AgentError):
    code = "storage_full"
    http_status = 507
    retryable = True


class ProviderError(AgentError):
    """A model request failed. What the router does about each class is its own table (core/health.py)."""

    code = "provider_error"
    http_status = 502


class RateLimited(ProviderError):
    code = "rate_limited"
    http_status = 429
    retryable = True


class ProviderDown(ProviderError):
    """Refused, cut, hung, 5xx or garbage: the endpoint is not working at the moment."""

    code = "provider_down"
    retryable = True


class ProviderOverloaded(ProviderDown):
    """It works, but has too much to do for the moment (529, 503 with a word)."""

    code = "provider_overloaded"


class ProviderTimeout(ProviderDown):
    """It was silent for too long."""

    code = "provider_timeout"
    http_status = 504


class OutOfCredit(ProviderError):
    code = "out_of_credit"
    http_status = 402


class AuthFailed(ProviderError):
    code = "auth_failed"
    exit_code = 41


class ContextTooLong(ProviderError):
    code = "context_too_long"
    http_status = 400


class Refused(ProviderError):
    """The vendor refused the content."""

    code = "refused"
    http_status = 400


class BadRequest(ProviderError):
    """The vendor says that our request is wrong."""

    code = "bad_request"
    http_status = 400


class ToolError(AgentError):
    """Becomes the tool's result for the model; never ends a turn."""

    code = "tool_error"
    exit_code = 54


class SandboxUnavailable(ToolError):
    """There are to be walls around a process and there can be none: it is not started. The message names the remedy."""

    code = "sandbox_unavailable"
    exit_code = 44


class StoreError(AgentError):
    """The log cannot be written or read any more: the daemon ends."""

    code = "store_error"


def _tree(cls: type[AgentError]) -> dict[str, type[AgentError]]:
    found = {cls.code: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[AgentError]] = _tree(AgentError)


def from_wire(error: dict[str, Any]) -> AgentError:
    """The exception that a JSON-RPC error object stands for; an unknown code (a newer daemon) is a plain `AgentError`."""
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    details = data.get("details")
    details = {str(key): value for key, value in details.items()} if isinstance(details, dict) else {}
    for taken in ("message", "retry_after"):
        details.pop(taken, None)
    wait = data.get("retry_after_ms")
    cls = BY_CODE.get(str(data.get("code")), AgentError)
    return cls(str(error.get("message", "unknown error")), retry_after=wait / 1000 if wait else None, **details)
