"""What no tool sees: what is agentd's own, wherever that lies, and nothing besides."""

from __future__ import annotations

import pytest

from agentd.wiring import _own
from agentwire.paths import locate


@pytest.mark.parametrize(
    ("environ", "hidden", "seen"),
    [
        (
            {},
            ["/h/.local/share/agentd", "/h/.config/agentd", "/h/.cache/agentd", "/h/.local/state/agentd", "/run/user/7/agentd"],
            ["/h", "/run/user/7"],
        ),
        ({"AGENTD_HOME": "/h/a"}, ["/h/a/data", "/h/a/config", "/h/a/cache", "/h/a/state", "/h/a/run"], ["/h/a"]),
        ({"AGENTD_CONFIG": "/h/p/own.toml"}, ["/h/p/own.toml", "/h/.config/agentd"], ["/h/p"]),
        ({"AGENTD_SOCKET": "/h/p/x.sock"}, ["/h/p/x.sock"], ["/h/p"]),
    ],
)
def test_what_is_agentds_own(environ: dict[str, str], hidden: list[str], seen: list[str]) -> None:
    """Its directories, its configuration and its socket; not the directory into which somebody has put one of these."""
    hide = _own(locate({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7", **environ}, 7))
    assert set(hidden) <= set(hide)
    assert not set(seen) & set(hide)
