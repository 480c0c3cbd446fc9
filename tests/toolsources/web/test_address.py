"""What may be fetched: pages on the public internet, however an inside address is dressed up."""

from __future__ import annotations

import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agentd.toolsources.web.address import inside, target_of
from agentd.toolsources.web.fetching import addresses_of
from agentwire.errors import ToolError

NO_URL = [
    "",
    "example.org",
    "//example.org/x",
    "ftp://example.org/",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stat",
    "data:text/html,hello",
    "javascript:alert(1)",
    "unix:///run/agentd.sock",
    "http://",
    "http:///path",
    "http://user@example.org/",
    "http://user:secret@example.org/",
    "http://example.org@127.0.0.1/",
    "http://example.org:99999/",
    "http://example.org:x/",
    "http://example.org:0/",
    "http://exa mple.org/",
    "http://example.org/a b",
    "http://example.org\\@127.0.0.1/",
    "http://example.org/\r\nHost: evil",
    "http://example.org\t.evil/",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://ex%61mple.org/",
    "http://example.org\x00.evil/",
    "http://" + "a" * 9000 + ".org/",
]
INSIDE = [
    "http://localhost/",
    "http://LOCALHOST./",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1.:80/",
    "http://127.255.255.254/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://0251.0376.0251.0376/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[0:0:0:0:0:ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001::1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ｌｏｃａｌｈｏｓｔ/",
    "http://127。0。0。1/",
]


@pytest.mark.parametrize("url", NO_URL)
def test_what_is_no_page_of_the_web(url: str) -> None:
    """Is refused with a reason, before anything is looked up."""
    with pytest.raises(ToolError):
        target_of(url)


@pytest.mark.parametrize("url", INSIDE)
async def test_what_is_inside_is_not_reached(url: str) -> None:
    """Whatever the notation: what counts is where it would lead. (This machine's resolver has its say; nothing is contacted.)"""
    with pytest.raises(ToolError):
        await addresses_of(target_of(url), lambda _: False)


class Resolver(trio.abc.HostnameResolver):
    """Knows what it is told."""

    def __init__(self, *addresses: str) -> None:
        self.addresses, self.asked = addresses, 0

    async def getaddrinfo(self, host: object, port: object, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list:  # type: ignore[type-arg]
        self.asked += 1
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in self.addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in zip(families, self.addresses, strict=True)
        ]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise AssertionError


@pytest.mark.parametrize(
    ("addresses", "reached"),
    [
        (["93.184.216.34"], True),
        (["93.184.216.34", "2606:2800:220:1::1"], True),
        (["93.184.216.34", "127.0.0.1"], False),
        (["93.184.216.34", "::1"], False),
        (["169.254.169.254"], False),
        ([], False),
    ],
)
async def test_every_address_of_a_name_counts(addresses: list[str], reached: bool) -> None:
    """A public name with one inside address is not reached at all."""
    trio.socket.set_custom_hostname_resolver(Resolver(*addresses))
    target = target_of("https://site.test/")
    if reached:
        assert await addresses_of(target, lambda _: False) == addresses
    else:
        with pytest.raises(ToolError, match=r"site\.test"):
            await addresses_of(target, lambda _: False)


@pytest.mark.parametrize(
    ("url", "host", "port", "same"),
    [
        ("https://Example.ORG/a?b#c", "example.org", 443, "https://example.org/a?b"),
        ("http://example.org.:8080", "example.org", 8080, "http://example.org:8080/"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "https://xn--bcher-kva.example/"),
        ("https://[2606:2800:220:1::1]:8443/x", "2606:2800:220:1::1", 8443, "https://[2606:2800:220:1::1]:8443/x"),
        ("  https://example.org/x  ", "example.org", 443, "https://example.org/x"),
    ],
)
def test_a_page_of_the_web(url: str, host: str, port: int, same: str) -> None:
    """One form of its host, which rules are about; no fragment goes over the wire."""
    target = target_of(url)
    assert (target.host, target.port, target.url) == (host, port, same)


@given(
    st.ip_addresses(v=4, network="127.0.0.0/8")
    | st.ip_addresses(v=4, network="10.0.0.0/8")
    | st.ip_addresses(v=6, network="fe80::/10")
)
def test_no_address_inside_is_missed(address: object) -> None:
    """In any of these networks; and what is no address is nothing to connect to."""
    assert inside(str(address))
    assert inside(f"::ffff:{address}") and inside("no address")
