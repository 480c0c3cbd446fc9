"""What a walled-in child sees of the file system, as arguments for bubblewrap. Pure: all that it needs to know comes in.

Mounts are made from the root downwards, so that what lies deeper wins: a workspace in the private /tmp, what is hidden in the
workspace. For one and the same path the later of KINDS holds. bubblewrap makes a mount point where there is none, and inside of
a writable directory that would be a real directory of the user's: so nothing is mounted there that does not exist already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from agentd.ports import Sandbox
from agentd.toolsources.sandbox.ground import Ground, Kind, Mount

KINDS: tuple[Kind, ...] = ("scratch", "read", "write", "pin", "keep", "hide", "show")
"""`scratch`: writable, with nothing of the machine's in it; empty and gone at the end, unless it has a source. `pin`: writable, but
cannot be renamed or removed, because what is kept or hidden lies in it, and whoever moves it
away could put another in its place, or see at another time what was hidden."""

Look = Callable[[str], Literal["directory", "file", ""]]
"""What is at a path (links not followed), "" for nothing."""

OWN = ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
"""Without the remount root could set the kernel's variables in /proc/sys: their owner is still root, and no right is asked for."""
DARK = ("--perms", "0111", "--tmpfs")  # it cannot be listed, but what is shown inside of it can be reached


def command(walls: Sandbox, ground: Ground, cwd: str, look: Look) -> list[str]:
    """bubblewrap's arguments for these walls, without the program to run. `cwd`: absolute, links resolved."""
    head = ["--die-with-parent", "--unshare-pid"]
    if walls.whole:
        own = ["--cap-add", "ALL"] if ground.root else ["--unshare-user"]  # root keeps its rights: it has asked for no walls
        dark = [Mount(path, "hide") for path in sorted(walls.hide)]
        return [*head, *own, "--dev-bind", "/", "/", "--proc", "/proc", *_arguments(dark, look), "--chdir", cwd]
    network = [] if walls.network else ["--unshare-net"]
    namespaces = ["--unshare-user", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", *network, "--cap-drop", "ALL"]
    mounts = visible(walls, ground, look)
    base = [mount for mount in mounts if mount.path == "/"]
    rest = _arguments([mount for mount in mounts if mount.path != "/"], look)
    closed = [] if base else [*_links(ground, mounts), "--remount-ro", "/"]  # the root itself is bubblewrap's, and empty
    return [*head, *namespaces, *_arguments(base, look), *OWN, *rest, *closed, "--chdir", cwd]


def visible(walls: Sandbox, ground: Ground, look: Look) -> list[Mount]:
    """The mounts, in their order."""
    wanted: dict[str, Mount] = {}
    asked: Mapping[Kind, Iterable[str]] = {
        "read": walls.read,
        "write": walls.write,
        "pin": (pin for path in (*walls.keep, *walls.hide) for pin in pins(path, walls.write)),
        "keep": walls.keep,
        "hide": walls.hide,
        "show": walls.show,
    }
    own = _around_home(ground, walls, look)
    for mount in (*own, *(Mount(path, kind) for kind in KINDS[1:] for path in asked[kind])):
        before = wanted.get(mount.path)
        if before is None or KINDS.index(mount.kind) >= KINDS.index(before.kind):
            wanted[mount.path] = mount
    ordered = sorted(wanted.values(), key=lambda mount: (mount.path != "/", mount.path.count("/"), mount.path))
    made: dict[str, Kind] = {}
    return [mount for mount in ordered if _is_needed(mount, made, look, own=mount in own)]


def _around_home(ground: Ground, walls: Sandbox, look: Look) -> list[Mount]:
    """The machine's own mounts. Whoever sees the whole of a home directory sees it as it is, but not its secrets."""
    mounts = list(ground.mounts)
    if any(_inside(ground.home, path) for path in (*walls.write, *walls.read)):
        cache = [mount for mount in mounts if mount.path == f"{ground.home}/.cache" and look(mount.path)]
        mounts = [mount for mount in mounts if not _inside(mount.path, ground.home)] + cache
        mounts += [Mount(path, "hide") for path in ground.secrets] + [Mount(path, "keep") for path in ground.startup]
    return mounts


def _is_needed(mount: Mount, made: dict[str, Kind], look: Look, *, own: bool) -> bool:
    """Whether it adds something to what lies above it, which is in `made` already; then it is put there."""
    above = next((made[parent] for parent in parents(mount.path) if parent in made), None)
    needed = {
        "scratch": True,
        "read": own or above not in ("read", "write", "pin", "keep"),
        "write": own or above not in ("write", "pin"),
        "pin": above in ("write", "pin"),
        "keep": above in ("write", "pin"),
        "hide": above not in (None, "scratch"),
        "show": above != "show",
    }[mount.kind]
    if above == "hide" and mount.kind != "show":
        return False
    exists = bool(mount.source) or mount.kind == "scratch" or bool(look(mount.path))
    if exists and (needed or mount.kind == "hide"):  # what lies in something hidden is so, too, where there is nothing to cover
        made[mount.path] = "scratch" if mount.kind == "write" and mount.source else mount.kind  # what is the user's is not in it
    return needed and exists


def _arguments(mounts: Sequence[Mount], look: Look) -> list[str]:
    words: list[str] = []
    dark: list[str] = []
    for mount in mounts:
        source = mount.source or mount.path
        if mount.kind == "scratch" and not mount.source:
            words += ["--tmpfs", mount.path]
        elif mount.kind != "hide":
            words += ["--bind" if mount.kind in ("scratch", "write", "pin") else "--ro-bind", source, mount.path]
        elif look(mount.path) == "directory":
            words += [*DARK, mount.path]
            dark += ["--remount-ro", mount.path]  # at last: places for what is shown inside are made before
        elif look(mount.path) == "file":
            words += ["--ro-bind", "/dev/null", mount.path]
    return words + dark


def _links(ground: Ground, mounts: Sequence[Mount]) -> list[str]:
    """Where nothing else is, or lies inside of what is the user's."""
    words: list[str] = []
    for path, target in ground.links.items():
        over = next((mount for mount in mounts if mount.path in parents(path)), None)
        free = over is None or next(mount for parent in parents(path) for mount in mounts if mount.path == parent).kind == "scratch"
        if free and not any(_inside(mount.path, path) for mount in mounts):
            words += ["--symlink", target, path]
    return words


def pins(path: str, writable: Iterable[str]) -> list[str]:
    """The directories between a writable one and a path in it."""
    within = [root for root in writable if _inside(path, root) and path != root]
    return [parent for parent in parents(path) if any(_inside(parent, root) and parent != root for root in within)]


def parents(path: str) -> list[str]:
    """Its directories, the nearest first, `/` last."""
    parts = path.split("/")
    return ["/".join(parts[:length]) or "/" for length in range(len(parts) - 1, 0, -1)] if path != "/" else []


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
