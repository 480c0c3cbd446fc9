"""Many connections read by one task: whoever streams a reply is called when something came, not woken.

Theory of operation: trio arms its epoll anew for every wait, and switches to the task that waited: among many streams that costs
more than to read what came. Here a connection stands in an epoll of its own for as long as its reply is read. One of those who
wait leads: it waits for that epoll alone, and calls in turn everybody for whom there is something. When its own reply ends, or it
is cancelled, the next one leads.
"""

from __future__ import annotations

import select
from collections.abc import Callable

import trio
from attrs import define, field

_ROUND = 64  # connections that are read until the other tasks have their turn


@define(eq=False)
class _Waiting:
    """`woken` when it is `over`, or has to lead."""

    arrived: Callable[[], bool]
    over: bool = False
    error: Exception | None = None
    woken: trio.Event = field(factory=trio.Event)


class Arrivals:
    """One for a run of trio, see `here`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, _Waiting] = {}  # by descriptor
        self._leader: _Waiting | None = None

    async def each(self, descriptor: int, arrived: Callable[[], bool]) -> None:
        """Call `arrived` whenever there is something to read, or an end, until it returns True. What it raises is raised from here.

        It may be called from another task, and must not wait. A checkpoint.
        """
        waiting = _Waiting(arrived)
        self._epoll.register(descriptor, select.EPOLLIN)
        self._waiting[descriptor] = waiting
        self._leader = self._leader or waiting
        try:
            if self._leader is not waiting:
                await waiting.woken.wait()
            while not waiting.over:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._call()
        finally:
            if not waiting.over:
                self._forget(descriptor)
            if self._leader is waiting:
                self._leader = next(iter(self._waiting.values()), None)
                if self._leader is not None:
                    self._leader.woken.set()
        if waiting.error is not None:
            raise waiting.error

    def _call(self) -> None:
        for descriptor, _ in self._epoll.poll(0, _ROUND):
            waiting = self._waiting[descriptor]
            try:
                waiting.over = waiting.arrived()
            except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
                waiting.over, waiting.error = True, error
            if waiting.over:
                self._forget(descriptor)
                waiting.woken.set()

    def _forget(self, descriptor: int) -> None:
        del self._waiting[descriptor]
        self._epoll.unregister(descriptor)


_here: trio.lowlevel.RunVar[Arrivals] = trio.lowlevel.RunVar("arrivals")


def here() -> Arrivals:
    """The one of this run."""
    try:
        return _here.get()
    except LookupError:
        _here.set(arrivals := Arrivals())
        return arrivals
