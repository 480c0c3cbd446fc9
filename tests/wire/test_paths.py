"""Where things are, for every environment; no file is touched."""

from __future__ import annotations

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentwire.paths import MAX_SOCKET_PATH, Paths, anchored, locate

XDG = {
    "XDG_CONFIG_HOME": "/c",
    "XDG_DATA_HOME": "/d",
    "XDG_STATE_HOME": "/s",
    "XDG_CACHE_HOME": "/k",
    "XDG_RUNTIME_DIR": "/run/user/7/",
}


def test_home_alone_gives_the_xdg_defaults() -> None:
    """Without any variable but HOME the paths are those of the XDG specification, the socket below /tmp with the uid."""
    paths = locate({"HOME": "/home/u"}, 7)
    assert vars(paths) == {
        "config_file": "/home/u/.config/agentd/config.toml",
        "env_file": "/home/u/.config/agentd/.env",
        "tools": "/home/u/.config/agentd/tools",
        "data": "/home/u/.local/share/agentd",
        "database": "/home/u/.local/share/agentd/agentd.db",
        "models": "/home/u/.local/share/agentd/models",
        "logs": "/home/u/.local/state/agentd/log",
        "log_file": "/home/u/.local/state/agentd/log/agentd.log",
        "output": "/home/u/.local/state/agentd/log/agentd.out",
        "cache": "/home/u/.cache/agentd",
        "runtime": "/tmp/agentd-7",
        "socket": "/tmp/agentd-7/agentd.sock",
        "lock": "/home/u/.local/share/agentd/agentd.lock",
        "start_lock": "/home/u/.local/share/agentd/start.lock",
        "history": "/home/u/.local/state/agentd/chat_history",
    }


def test_without_home_the_user_database_knows() -> None:
    """A job of cron may have no HOME; a user that nobody knows has the root."""
    uid = os.getuid()
    assert locate({}, uid) == locate({"HOME": pwd.getpwuid(uid).pw_dir}, uid)
    assert locate({}, 4_000_000_000) == locate({"HOME": "/"}, 4_000_000_000)


def test_xdg_variables_move_their_directory() -> None:
    """Each variable moves what the specification says, and nothing else."""
    paths = locate({"HOME": "/home/u", **XDG}, 7)
    assert paths.config_file == "/c/agentd/config.toml"
    assert paths.database == "/d/agentd/agentd.db"
    assert paths.log_file == "/s/agentd/log/agentd.log"
    assert paths.cache == "/k/agentd"
    assert paths.socket == "/run/user/7/agentd/agentd.sock"


@pytest.mark.parametrize("name", sorted(XDG))
def test_relative_xdg_paths_are_ignored(name: str) -> None:
    """The specification calls them invalid."""
    assert locate({"HOME": "/h", name: "relative"}, 7) == locate({"HOME": "/h"}, 7)


def test_agentd_home_moves_everything() -> None:
    """One variable isolates a daemon wholly, the socket included, whatever XDG says."""
    paths = locate({"HOME": "/home/u", "AGENTD_HOME": "/x/y", **XDG}, 7)
    assert all(path.startswith("/x/y/") for path in vars(paths).values())


def test_agentd_home_may_be_below_home() -> None:
    """A tilde that no shell expanded (a unit file, an .env) means the home directory."""
    assert locate({"HOME": "/home/u", "AGENTD_HOME": "~/a"}, 7).data == "/home/u/a/data"


def test_relative_paths_of_ours_are_anchored() -> None:
    """Only those, and only here: the daemon's directory is another one."""
    given = {"AGENTD_HOME": "a/b", "AGENTD_CONFIG": "/c.toml", "AGENTD_SOCKET": "~/s", "XDG_DATA_HOME": "d", "PATH": "bin"}
    assert anchored(given) == {"AGENTD_HOME": f"{os.getcwd()}/a/b"}
    assert anchored({"AGENTD_HOME": ""}) == {}


def test_single_files_can_be_named() -> None:
    """AGENTD_CONFIG and AGENTD_SOCKET override one file each; the runtime directory is the socket's."""
    paths = locate({"HOME": "/h", "AGENTD_CONFIG": "/e/my.toml", "AGENTD_SOCKET": "/r/s.sock"}, 7)
    assert (paths.config_file, paths.socket, paths.runtime) == ("/e/my.toml", "/r/s.sock", "/r")
    assert paths.env_file == "/h/.config/agentd/.env"


@given(st.text("abc/é", min_size=1, max_size=200))
def test_socket_path_is_never_too_long(tail: str) -> None:
    """However deep AGENTD_HOME is, the socket's path fits into sockaddr_un, and differs for different places."""
    paths = locate({"HOME": "/h", "AGENTD_HOME": f"/{tail}"}, 7)
    assert len(paths.socket.encode()) <= MAX_SOCKET_PATH
    longer = locate({"HOME": "/h", "AGENTD_HOME": f"/{tail}" + "z" * 120}, 7)
    assert longer.socket.startswith("/tmp/agentd-7/")
    assert longer.socket != paths.socket


def test_paths_are_a_value() -> None:
    """Equal environments give equal, hashable paths which nobody can change."""
    paths = locate({"HOME": "/h"}, 7)
    assert {paths} == {locate({"HOME": "/h"}, 7)}
    assert paths != locate({"HOME": "/i"}, 7)
    with pytest.raises(AttributeError, match="read-only: data"):
        paths.data = "/elsewhere"


def test_every_declared_path_is_located() -> None:
    """The class declares exactly what `locate` gives."""
    assert set(vars(locate({}, 7))) == set(Paths.__annotations__)
