"""Where agentd keeps things: XDG directories, or everything below AGENTD_HOME. Standard library only; touches no file."""

from __future__ import annotations

import os.path
from collections.abc import Mapping

# sockaddr_un.sun_path holds 108 bytes with its NUL (unix(7)); we stay clear of it for helpers that append a suffix.
MAX_SOCKET_PATH = 100


class Paths:
    """Absolute paths as strings, read-only. Directories are made by whoever first writes into them, mode 0700.

    Written out by hand: every command imports this, and a NamedTuple of this size costs it 1.6 ms, `typing` another 2.6.
    """

    config_file: str
    env_file: str
    tools: str
    data: str
    database: str
    models: str
    logs: str
    log_file: str
    output: str
    cache: str
    runtime: str
    socket: str
    lock: str
    start_lock: str
    history: str

    def __init__(self, **paths: str) -> None:
        self.__dict__.update(paths)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"paths are read-only: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Paths) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).items()))


def locate(environ: Mapping[str, str], uid: int) -> Paths:
    """The paths for this environment. AGENTD_HOME moves everything; AGENTD_CONFIG and AGENTD_SOCKET override one file each."""
    home = environ.get("HOME") or _home(uid)
    base = environ.get("AGENTD_HOME")
    fallback_runtime = f"/tmp/agentd-{uid}"
    if base:
        base = _absolute(base, home)
        config, data, state, cache, runtime = (f"{base}/{leaf}" for leaf in ("config", "data", "state", "cache", "run"))
    else:
        config = _xdg(environ, "XDG_CONFIG_HOME", f"{home}/.config")
        data = _xdg(environ, "XDG_DATA_HOME", f"{home}/.local/share")
        state = _xdg(environ, "XDG_STATE_HOME", f"{home}/.local/state")
        cache = _xdg(environ, "XDG_CACHE_HOME", f"{home}/.cache")
        runtime = _xdg(environ, "XDG_RUNTIME_DIR", "") or fallback_runtime
    socket = _absolute(environ.get("AGENTD_SOCKET") or f"{runtime}/agentd.sock", home)
    if len(socket.encode()) > MAX_SOCKET_PATH:
        # A short name that still differs per location: FNV-1a, for hashlib would cost every command 2 ms.
        socket = f"{fallback_runtime}/{_fnv1a(socket):016x}.sock"
    return Paths(
        config_file=_absolute(environ.get("AGENTD_CONFIG") or f"{config}/config.toml", home),
        env_file=f"{config}/.env",
        tools=f"{config}/tools",
        data=data,
        database=f"{data}/agentd.db",
        models=f"{data}/models",
        logs=f"{state}/log",
        log_file=f"{state}/log/agentd.log",
        output=f"{state}/log/agentd.out",
        cache=cache,
        runtime=socket.rsplit("/", 1)[0] or "/",
        socket=socket,
        lock=f"{data}/agentd.lock",
        start_lock=f"{data}/start.lock",
        history=f"{state}/chat_history",
    )


def anchored(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of our variables that hold a relative path, made absolute: a daemon started from here runs in another directory."""
    given = {name: environ.get(name, "") for name in ("AGENTD_HOME", "AGENTD_CONFIG", "AGENTD_SOCKET")}
    return {name: os.path.abspath(path) for name, path in given.items() if path and not path.startswith(("/", "~/"))}


def _home(uid: int) -> str:
    # Jobs of cron, containers and init systems may have no HOME.
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"


def _xdg(environ: Mapping[str, str], name: str, default: str) -> str:
    # The XDG base directory specification: a relative path in these variables is invalid and must be ignored.
    value = environ.get(name, "")
    root = value.rstrip("/") if value.startswith("/") else default
    return f"{root}/agentd" if root else ""


def _absolute(path: str, home: str) -> str:
    return os.path.abspath(path.replace("~", home, 1) if path.startswith("~/") else path)


def _fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
