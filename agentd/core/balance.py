"""Which member of a route is asked first: each in its share of the requests, or the one with the least to do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from agentd.core.routes import Candidate, Route

Ready = Callable[[Candidate], bool]


class Balance:
    """`busy`: open streams of each model; whoever opens one counts it."""

    def __init__(self) -> None:
        self.busy: Counter[Candidate] = Counter()
        self._owed: dict[Route, list[int]] = {}

    def forget(self) -> None:
        """The routes are others now."""
        self._owed.clear()

    def order(self, route: Route, ready: Ready) -> list[Candidate]:
        """The candidates for one request, first the one whose turn it is. Only those that are `ready` take part in a rotation."""
        return list(dict.fromkeys(self._order(route, ready, counts=True)))

    def _order(self, member: Candidate | Route, ready: Ready, *, counts: bool) -> list[Candidate]:
        """`counts`: it is asked first, so the rotations on the way to it move on."""
        if isinstance(member, Candidate):
            return [member]
        first, *others = self._members(member, ready, counts=counts)
        rest = [candidate for other in others for candidate in self._order(other, ready, counts=False)]
        return [*self._order(first, ready, counts=counts), *rest]

    def _members(self, route: Route, ready: Ready, *, counts: bool) -> Sequence[Candidate | Route]:
        match route.strategy:
            case "failover":
                return route.members
            case "least_busy":
                load = [self._load(member) / weight for member, weight in zip(route.members, route.weights, strict=True)]
                return [route.members[index] for index in sorted(range(len(load)), key=load.__getitem__)]
            case "round_robin":
                turn = self._rotate(route, ready) if counts else 0
                return [route.members[turn], *route.members[:turn], *route.members[turn + 1 :]]

    def _load(self, member: Candidate | Route) -> int:
        candidates = [member] if isinstance(member, Candidate) else member.candidates
        return sum(self.busy[candidate] for candidate in candidates)

    def _rotate(self, route: Route, ready: Ready) -> int:
        """Smooth weighted round robin, as nginx has it: everybody is given its weight, and the richest pays for all of it.

        Over the sum of the weights each comes up exactly as often as its weight, and as evenly spread as can be.
        """
        owed = self._owed.setdefault(route, [0] * len(route.members))
        able = [index for index, member in enumerate(route.members) if _able(member, ready)] or range(len(owed))
        for index in able:
            owed[index] += route.weights[index]
        turn = max(able, key=owed.__getitem__)
        owed[turn] -= sum(route.weights[index] for index in able)
        return turn


def _able(member: Candidate | Route, ready: Ready) -> bool:
    return ready(member) if isinstance(member, Candidate) else any(map(ready, member.candidates))
