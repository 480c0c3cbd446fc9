"""What a person is told of a model that they chose: what its name was taken for, and what it cannot be shown. Pure, standard
library only."""

from __future__ import annotations

from agentctl.text import one_line
from agentwire.media import PDF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Data = Mapping[str, Any]


def needs_a_look(written: str) -> bool:
    """Whether a name, or one of a list, is an alias or has no provider."""
    return any(name.strip() and "/" not in name for name in written.split(","))


def remarks(written: str, resolved: Data, attached: Sequence[Data] = ()) -> list[str]:
    """`resolved`: what `model/resolve` answered to what was `written`; `attached`: images and files that the model would get."""
    return [*_taken(written, resolved["model"]), *(text for info in resolved["models"] for text in _unseen(info, attached))]


def _taken(written: str, kept: str) -> Iterable[str]:
    """Of each name without a provider what it became, if it is no alias."""
    names = [name.strip() for name in written.split(",")]
    for name, full in zip(names, kept.split(","), strict=False):
        if name and name != full:
            yield f"{one_line(name, 80)} is no alias: this is the model {one_line(full, 120)}"


def _unseen(info: Data, attached: Sequence[Data]) -> Iterable[str]:
    """A sentence for each kind of what this model does not take."""
    for ability, kind, found in (
        ("images", "images", [part for part in attached if part["kind"] == "image"]),
        ("files", "PDFs", [part for part in attached if part["kind"] == "file" and part["media"] == PDF]),
    ):
        if found and ability not in info["capabilities"]:
            names = ", ".join(dict.fromkeys(one_line(part.get("name") or part["media"], 60) for part in found))
            table = "" if info["known"] else f' (if it does, set {ability} = true under [parameters."{info["id"]}"])'
            who = one_line(info["id"], 120)
            yield f"{who} takes no {kind}{table}: it is told that {names} is there, and of what size, not what it shows"
