"""What a model's name stands for: one `provider/model`, an alias over several, or a list of both. Pure.

A name is parsed anew for each request, so a session keeps what its user wrote and follows the configuration.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Literal

from attrs import field, frozen
from attrs import validators as v

from agentwire.errors import ConfigError, InvalidParams

Strategy = Literal["failover", "round_robin", "least_busy"]
STRATEGIES: tuple[Strategy, ...] = ("failover", "round_robin", "least_busy")


@frozen
class Candidate:
    """A model that may be asked: its provider's name and the vendor's own name for it."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@frozen(kw_only=True)
class Alias:
    """An alias as it is configured. `models`: `provider/model` or the names of other aliases; `weights`: one for each, or none."""

    models: tuple[str, ...] = field(validator=v.min_len(1))
    strategy: Strategy = field(default="failover", validator=v.in_(STRATEGIES))
    weights: tuple[int, ...] = field(default=(), validator=v.deep_iterable(v.and_(v.ge(1), v.le(1_000_000))))

    def __attrs_post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.models):
            raise ValueError(f"{len(self.weights)} weights for {len(self.models)} models")


@frozen
class Route:
    """Which of `members` is asked first, and where a request goes when that fails.

    failover: in order. round_robin: each first in its share of the requests, by `weights`. least_busy: the one with the fewest open
    streams for its weight. A member may be an alias of its own, which is one among the others whatever it stands for. `name`: the
    alias, or what the user wrote.
    """

    name: str
    strategy: Strategy
    members: tuple[Candidate | Route, ...]
    weights: tuple[int, ...]

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that may be asked, each once, in the order in which they are written."""
        return tuple(dict.fromkeys(_flat(self)))


def _flat(member: Candidate | Route) -> Iterator[Candidate]:
    if isinstance(member, Candidate):
        yield member
    else:
        for inner in member.members:
            yield from _flat(inner)


class Routes:
    """All names there are. `default`: the one that an empty name stands for.

    Error handling: ConfigError for an alias that leads to itself or to what is not there.
    """

    def __init__(self, providers: Collection[str], default: str, aliases: Mapping[str, Alias] | None = None) -> None:
        self._providers, self.default, self._aliases = tuple(sorted(providers)), default, dict(aliases or {})
        self.aliases: dict[str, Route] = {}
        for name in self._aliases:
            self._define(name, ())
        self._routes = lru_cache(maxsize=256)(self._read)

    def route(self, name: str) -> Route:
        """What `name` stands for now. Raises InvalidParams that says what there is."""
        return self._routes(name)

    def _read(self, name: str) -> Route:
        names = [part.strip() for part in (name or self.default).split(",")]
        if not all(names):
            raise InvalidParams(
                f"a model is missing beside a comma in {name!r}: several are named as provider/model,provider/model"
            )
        members = tuple([self._member(part) for part in names])
        if len(members) == 1 and isinstance(members[0], Route):
            return members[0]
        return Route(name or self.default, "failover", members, (1,) * len(members))

    def full_name(self, name: str) -> str:
        """`name` as it is to be kept: aliases and lists as they were written, a bare model's name with the default's provider.

        Error handling: InvalidParams if it stands for nothing.
        """
        names = ",".join(self._qualified(part.strip()) for part in (name or self.default).split(","))
        self.route(names)
        return names

    def bare(self, name: str) -> list[Candidate]:
        """Those of a name or list that were written without a provider, and are no aliases."""
        parts = [part.strip() for part in name.split(",")]
        return [Candidate(self._own, part) for part in parts if part and "/" not in part and part not in self.aliases]

    @property
    def _own(self) -> str:
        """The provider whose models need no other name."""
        return self.route("").candidates[0].provider

    def _qualified(self, name: str) -> str:
        return name if "/" in name or name in self.aliases or not name else f"{self._own}/{name}"

    def _member(self, name: str) -> Candidate | Route:
        if name in self.aliases:
            return self.aliases[name]
        provider, slash, model = name.partition("/")
        if not slash:
            known = f"the aliases are {', '.join(sorted(self.aliases))}" if self.aliases else "there are no aliases"
            said = f"there is no model alias {name!r}{_meant(name, self.aliases)}: {known}; any other model is named provider/model"
            raise InvalidParams(said)
        if provider not in self._providers:
            known = ", ".join(self._providers)
            raise InvalidParams(
                f"there is no model provider {provider!r}{_meant(provider, self._providers)}; "
                f"a model is named provider/model, and the providers are {known}"
            )
        return Candidate(provider, model)

    def _define(self, name: str, above: tuple[str, ...]) -> Route:
        """The route of alias `name`, which those `above` it led to."""
        if name in above:
            raise ConfigError(f"models.{above[0]}: the alias leads to itself: {' -> '.join((*above, name))}", key=f"models.{name}")
        if name not in self.aliases:
            alias = self._aliases[name]
            members = tuple([self._defined(name, model, (*above, name)) for model in alias.models])
            self.aliases[name] = Route(name, alias.strategy, members, alias.weights or (1,) * len(members))
        return self.aliases[name]

    def _defined(self, name: str, model: str, above: tuple[str, ...]) -> Candidate | Route:
        if model in self._aliases:
            return self._define(model, above)
        try:
            return self._member(model)
        except InvalidParams as error:
            raise ConfigError(f"models.{name}: {error.message}", key=f"models.{name}") from None


def _meant(name: str, names: Collection[str]) -> str:
    import difflib  # only when something is wrong

    near = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {near[0]}?)" if near else ""
