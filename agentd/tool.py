"""`from agentd.tool import tool`: declares a function of a tools file as a tool. Standard library only: it runs in the child.

@tool(effect="read", policy="allow")
def weather(city: str, days: int = 1) -> str:
    "The weather forecast for a city."
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, get_args, overload

Effect = Literal["read", "idempotent", "once"]
Policy = Literal["allow", "ask", "deny"]
F = TypeVar("F", bound=Callable[..., Any])

MARK = "__agentd_tool__"


class Declaration(NamedTuple):
    effect: Effect
    policy: Policy
    network: bool = False


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, effect: Effect = "once", policy: Policy = "ask", network: bool = False) -> Callable[[F], F]: ...
def tool(function: Any = None, /, *, effect: Effect = "once", policy: Policy = "ask", network: bool = False) -> Any:
    """Offer the function to models. The function itself stays as it is.

    `effect`: `read` changes nothing; `idempotent` may be repeated without harm; `once` is never repeated by itself after a crash.
    `policy`: what holds where no permission rule of the user's does. `network`: it needs the network; without, there is none.
    """
    _one_of("effect", effect, get_args(Effect))
    _one_of("policy", policy, get_args(Policy))

    def declare(function: Any) -> Any:
        if not hasattr(function, "__code__"):
            raise TypeError(f"@tool declares functions, not {function!r}")
        setattr(function, MARK, Declaration(effect, policy, bool(network)))
        return function

    return declare if function is None else declare(function)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"@tool: {name} must be one of {', '.join(allowed)}, not {value!r}")
