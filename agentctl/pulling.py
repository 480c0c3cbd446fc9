"""Follow the daemon as it lets a host fetch a model: on a terminal one line that changes, elsewhere a line for every further tenth.

The pull is the daemon's: it goes on whoever watches it. Standard library only.
"""

from __future__ import annotations

import select
import shutil
import sys
import time

from agentctl.client import Client
from agentctl.output import Output, size
from agentctl.text import one_line
from agentwire.errors import BY_CODE, AgentError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TICK = 0.2  # seconds between two questions how far it is
_WINDOW = 5.0  # seconds over which the speed is measured


def follow(client: Client, model: str, out: Output) -> None:
    """Returns once `model` is there.

    *Errors*: the AgentError that the pull failed with, Unreachable if the daemon ended meanwhile. Ctrl-C leaves the pull to the
    daemon, and says so.
    """
    line, number = _Line(out, model), 0
    try:
        while True:
            told = client.call("model/pull", {"model": model, "pull": number})
            number = told["pull"]
            if told["state"] == "done":
                break
            if told["state"] == "failed":
                raise BY_CODE.get(told["error"]["code"], AgentError)(told["error"]["message"])
            line.show(told)
            select.select([], [], [], TICK)
    except Unreachable:
        raise Unreachable(
            f"the daemon ended while {model} was fetched; `agentctl model pull {model}` goes on from what its host has, "
            "and `agentctl daemon logs` may say why"
        ) from None
    except KeyboardInterrupt:
        line.clear()
        out.note(f"{model} is still being fetched; `agentctl model pull {model}` shows how far it is")
        raise
    finally:
        line.clear()
    out.note(f"{model} is ready")


class _Line:
    """What is shown while it lasts."""

    def __init__(self, out: Output, model: str) -> None:
        self._out, self._model = out, model
        self._moving = out.error_tty and not out.quiet
        self._seen: list[tuple[float, int]] = []  # when so many bytes were there
        self._tenths = -1

    def show(self, told: dict[str, Any]) -> None:
        if self._moving:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{one_line(self._progress(told), width)}")
            sys.stderr.flush()
            return
        tenths = 10 * told["completed"] // max(told["total"], 1)
        if tenths > self._tenths:  # less than before if more is found to be fetched
            self._tenths = tenths
            self._out.note(f"{tenths}0 %" if tenths else f"fetching {self._model}")

    def clear(self) -> None:
        if self._moving:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _progress(self, told: dict[str, Any]) -> str:
        done, total = told["completed"], told["total"]
        if done >= total:  # nobody knows yet, or what follows is no download
            return f"{self._model}: {told['detail'] or 'waiting'}"
        speed = self._speed(done)
        return f"{self._model}: {100 * done // total} %, {size(done)} of {size(total)}" + (f", {size(speed)}/s" if speed else "")

    def _speed(self, done: int) -> float:
        """Bytes a second, 0 while it cannot be told."""
        now = time.monotonic()
        self._seen = [(at, count) for at, count in self._seen if at > now - _WINDOW] + [(now, done)]
        began, first = self._seen[0]
        return (done - first) / (now - began) if now > began else 0.0
