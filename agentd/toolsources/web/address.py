"""Which addresses a tool may reach: those of the public internet, and nothing that is inside, however it is written. Pure.

A URL comes from a model, perhaps from a page that wants it to look inside: at the cloud's metadata, a router, a service on this
machine. So not the text of a host is judged but every address that it resolves to, and the connection is made to just those.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen

from agentwire.errors import ToolError

_INSIDE_4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""Besides what is not global: protocol assignments (RFC 6890), the old 6to4 relays."""
_PUBLIC_6 = IPv6Network("2000::/3")
"""All that is given out as global unicast (RFC 4291). The rest embeds IPv4 (mapped, NAT64), is local, multicast or of no use."""
_INSIDE_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Protocol assignments with Teredo, documentation, and 6to4, which embeds IPv4."""
_MOST = 8192
"""Characters of a URL."""


@frozen
class Target:
    """A URL that may be asked for. `host` in ASCII and small letters, `url` without its fragment."""

    url: str
    scheme: str
    host: str
    port: int


def target_of(text: str) -> Target:
    """Raises ToolError for what is no URL of a page on the web."""
    url = text.strip()
    if not url or len(url) > _MOST or any(character.isspace() or ord(character) < 0x21 for character in url) or "\\" in url:
        raise ToolError(f"{_shown(text)} is not a URL: expected https://host/path without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ToolError(f"{_shown(text)} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ToolError(f"{_shown(text)}: only http:// and https:// URLs can be fetched")
    if parts.username is not None or parts.password is not None:
        raise ToolError("a URL with a user name or password in it is not fetched")
    host = _ascii(parts.hostname or "", text)
    if port == 0:
        raise ToolError(f"{_shown(text)}: there is no port 0")
    literal = f"[{host}]" if ":" in host else host
    place = literal if port is None else f"{literal}:{port}"
    whole = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
    return Target(whole, parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


def _ascii(host: str, text: str) -> str:
    host = host.rstrip(".").lower()
    if not host or "%" in host:
        raise ToolError(f"{_shown(text)} names no host")
    try:
        named = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ToolError(f"{_shown(text)}: {host[:60]!r} is no name of a host") from None
    if not all(character.isalnum() or character in "-._:" for character in named):
        raise ToolError(f"{_shown(text)}: {host[:60]!r} is no name of a host")
    return named


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:199] + "…")


def inside(address: str) -> bool:
    """Whether an address is not on the public internet: private, this machine's, link-local, metadata, multicast, embedded IPv4."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return _inside_4(parsed) if isinstance(parsed, IPv4Address) else _inside_6(parsed)


def _inside_4(address: IPv4Address) -> bool:
    return not address.is_global or address.is_multicast or any(address in network for network in _INSIDE_4)


def _inside_6(address: IPv6Address) -> bool:
    return address not in _PUBLIC_6 or any(address in network for network in _INSIDE_6)
