"""Keys are derived from classes, and found by any spelling of their name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import field, frozen

from agentwire.config_kinds import HOST, NAME, SECRET, SECRETS, URL, whole
from agentwire.config_table import Table, dotted, entries, section, setting, variable


@frozen
class Place:
    url: str = setting("", URL, "Where.")
    api_key: str = setting("", SECRET, "With what.", secret=True)
    api_keys: tuple[str, ...] = setting((), SECRETS, "With what else.", numbered=True, secret=True)


@frozen
class Places:
    home: Place = field(factory=Place, metadata={"variables": {"api_key": ("HOME_API_KEY",)}, "kinds": {"url": HOST}})
    others: Mapping[str, Place] = entries(Place, NAME, "NAME", inline=True)


@frozen
class Everything:
    count: int = setting(1, whole(0, 9), "How many.", live=False)
    places: Places = field(factory=Places)
    named: Mapping[str, Place] = entries(Place, NAME, "WORD", short="url")


TABLE = Table(Everything)


def test_fixed_keys() -> None:
    """Every setting of every section, with its variables; lists have none but numbered ones."""
    assert list(TABLE.keys) == ["count", "places.home.url", "places.home.api_key", "places.home.api_keys"]
    key, keys, url = TABLE.keys["places.home.api_key"], TABLE.keys["places.home.api_keys"], TABLE.keys["places.home.url"]
    assert (key.env, key.numbered, key.secret, key.live) == (("AGENTD_PLACES_HOME_API_KEY", "HOME_API_KEY"), (), True, True)
    assert (keys.env, keys.numbered) == ((), ("AGENTD_PLACES_HOME_API_KEY", "HOME_API_KEY"))
    assert (url.kind, TABLE.keys["count"].live) == (HOST, False)


@pytest.mark.parametrize(
    ("parts", "name", "env"),
    [
        (("places", "home", "url"), "places.home.url", ("AGENTD_PLACES_HOME_URL",)),
        (("places", "my-own", "url"), "places.my-own.url", ("AGENTD_PLACES_MY_OWN_URL",)),
        (("named", "a/b", "url"), 'named."a/b".url', ()),
        (("named", "a"), "named.a.url", ()),
        (("named", "a", "what"), None, ()),
        (("places", "my-own"), None, ()),
        (("named",), None, ()),
        (("other", "a", "url"), None, ()),
    ],
)
def test_key(parts: tuple[str, ...], name: str | None, env: tuple[str, ...]) -> None:
    """Fixed ones and those of entries, where a value for the whole entry is its short key's; else nothing."""
    key = TABLE.key(parts)
    assert (key and key.name, key.env if key else ()) == (name, env)


def test_sections_and_names() -> None:
    """What has keys behind it, and what an entry may not be called."""
    assert all(TABLE.is_section(parts) for parts in (("places",), ("places", "home"), ("places", "x"), ("named", "x")))
    assert not any(TABLE.is_section(parts) for parts in (("count",), ("places", "x", "url"), ("what",)))
    assert TABLE.misnamed(("named", "A", "url")) == NAME.expected
    assert TABLE.misnamed(("named", "a", "url")) == TABLE.misnamed(("places", "home")) == TABLE.misnamed(("count",)) == ""


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("count", ("count",)),
        ("places.home.url", ("places", "home", "url")),
        ('named."a.b/c".url', ("named", "a.b/c", "url")),
        ("named.a.b/c.url", ("named", "a.b/c", "url")),
        ("named.a", ("named", "a")),
    ],
)
def test_names_are_split_with_and_without_quotes(name: str, parts: tuple[str, ...]) -> None:
    """As TOML writes them, and as people do; what is written is read again."""
    assert TABLE.split(name) == parts
    assert TABLE.split(dotted(parts)) == parts


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("AGENTD_PLACES_MINE_URL", ("mine", "url")),
        ("AGENTD_PLACES_MINE_TOO_API_KEY", ("mine_too", "api_key")),
        ("AGENTD_PLACES_MINE_API_KEY_12", ("mine", "api_keys")),
        ("AGENTD_PLACES_HOME_API_KEY", None),
        ("AGENTD_PLACES_API_KEY", None),
        ("AGENTD_PLACES_MINE_WHAT", None),
        ("AGENTD_NAMED_A_URL", None),
    ],
)
def test_variables_of_entries(name: str, found: tuple[str, str] | None) -> None:
    """Only those entries have any that stand beside fixed ones, and these are not among them."""
    entry = TABLE.of_variable(name)
    assert (entry and entry[1:]) == found


def test_what_is_documented() -> None:
    """Entries by the word that stands for their name."""
    assert {name for name in TABLE.documented if name not in TABLE.keys} == {
        *(f"places.NAME.{leaf}" for leaf in ("url", "api_key", "api_keys")),
        *(f"named.WORD.{leaf}" for leaf in ("url", "api_key", "api_keys")),
    }
    assert TABLE.siblings("named.x.ulr") == ["named.x.url", "named.x.api_key", "named.x.api_keys"]
    assert variable(("places", "my-own", "url")) == "AGENTD_PLACES_MY_OWN_URL"


def test_sections_are_classes() -> None:
    """A field whose factory is one of ours is a section; a mapping is none."""
    fields = Everything.__attrs_attrs__
    assert [section(attribute) for attribute in fields] == [None, Places, None]
