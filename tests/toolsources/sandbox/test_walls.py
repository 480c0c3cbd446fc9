"""What is mounted, and in which order: the arguments as data, without a process."""

from __future__ import annotations

from typing import Literal

import pytest
from attrs import evolve

from agentd.ports import Sandbox
from agentd.toolsources.sandbox.ground import Ground, Mount
from agentd.toolsources.sandbox.walls import command, parents, pins, visible

DIRECTORIES = """
    / /usr /ws /ws/.git /ws/.git/hooks /ws/secret /ws/secret/shown /other /home /home/u /home/u/.ssh /home/u/.local/bin
    /home/u/.npm/bin /home/u/.cache/pip
""".split()  # noqa: SIM905
GROUND = Ground(
    home="/home/u",
    mounts=(
        Mount("/usr", "read"),
        Mount("/tmp", "scratch"),
        Mount("/home/u", "scratch"),
        Mount("/home/u/.cache", "write", "/cache/home"),
        Mount("/home/u/.local/bin", "read"),
    ),
    links={"/bin": "usr/bin", "/home/u/.npm": "/home/u/.cache/npm"},
    secrets=("/home/u/.ssh",),
    startup=("/home/u/.local/bin",),
)
ALONE = evolve(GROUND, mounts=())


def look(path: str) -> Literal["directory", "file", ""]:
    if path in DIRECTORIES:
        return "directory"
    return "file" if path == "/ws/file" else ""


def kinds(walls: Sandbox, ground: Ground = ALONE) -> list[tuple[str, str]]:
    return [(mount.kind, mount.path) for mount in visible(walls, ground, look)]


@pytest.mark.parametrize(
    ("walls", "wanted"),
    [
        (Sandbox(), []),
        (Sandbox(write=("/ws",)), [("write", "/ws")]),
        (Sandbox(write=("/missing",), read=("/gone",)), []),
        (Sandbox(write=("/ws",), read=("/ws/file", "/other")), [("read", "/other"), ("write", "/ws")]),
        (Sandbox(write=("/ws", "/ws/.git")), [("write", "/ws")]),
        (Sandbox(read=("/ws",), write=("/ws/.git",)), [("read", "/ws"), ("write", "/ws/.git")]),
        (Sandbox(read=("/ws",), write=("/ws",)), [("write", "/ws")]),
        (
            Sandbox(write=("/ws",), keep=("/ws/.git/hooks",)),
            [("write", "/ws"), ("pin", "/ws/.git"), ("keep", "/ws/.git/hooks")],
        ),
        (Sandbox(read=("/ws",), keep=("/ws/.git/hooks",)), [("read", "/ws")]),
        (
            Sandbox(write=("/ws",), hide=("/ws/secret", "/ws/file")),
            [("write", "/ws"), ("hide", "/ws/file"), ("hide", "/ws/secret")],
        ),
        (
            Sandbox(write=("/ws",), hide=("/ws/.git/hooks",)),
            [("write", "/ws"), ("pin", "/ws/.git"), ("hide", "/ws/.git/hooks")],
        ),
        (Sandbox(write=("/ws",), hide=("/other",)), [("write", "/ws")]),
        (Sandbox(write=("/ws",), hide=("/ws",)), []),
        (
            Sandbox(write=("/ws/.git",), read=("/ws/secret/shown",), hide=("/ws",)),
            [],
        ),
        (
            Sandbox(write=("/ws",), hide=("/ws/secret",), show=("/ws/secret/shown",)),
            [("write", "/ws"), ("hide", "/ws/secret"), ("show", "/ws/secret/shown")],
        ),
        (Sandbox(write=("/ws",), hide=("/ws/secret",), read=("/ws/secret/shown",)), [("write", "/ws"), ("hide", "/ws/secret")]),
    ],
)
def test_what_is_mounted(walls: Sandbox, wanted: list[tuple[str, str]]) -> None:
    """Only what adds something, from the root downwards; hidden beats all but shown; what is kept pins what it lies in."""
    assert kinds(walls) == wanted


def test_home_is_scratch_but_for_tools() -> None:
    """Of the home directory the tools are seen, and a cache that is not the user's."""
    assert kinds(Sandbox(write=("/ws",)), GROUND) == [
        ("scratch", "/tmp"),
        ("read", "/usr"),
        ("write", "/ws"),
        ("scratch", "/home/u"),
        ("write", "/home/u/.cache"),
        ("read", "/home/u/.local/bin"),
    ]


def test_the_users_own_cache_if_it_is_asked_for() -> None:
    """It is seen in the place of the sandbox's."""
    assert ("read", "/home/u/.cache/pip") in kinds(Sandbox(read=("/home/u/.cache/pip",)), GROUND)


def test_the_whole_machine_to_be_read() -> None:
    """Who was allowed to read everything sees it, but neither secrets nor another /etc."""
    words = text(Sandbox(read=("/",), write=("/ws",)))
    assert words.index("--ro-bind / /") < words.index("--bind /ws /ws") < words.index("--tmpfs /home/u/.ssh")


@pytest.mark.parametrize("workspace", ["/home/u", "/home"])
def test_home_itself_as_the_workspace(workspace: str) -> None:
    """Then it is seen whole, but for its secrets; and what others run cannot be changed."""
    found = kinds(Sandbox(write=(workspace,)), GROUND)
    assert ("write", workspace) in found
    assert ("scratch", "/home/u") not in found
    assert ("hide", "/home/u/.ssh") in found and ("keep", "/home/u/.local/bin") in found


def text(walls: Sandbox, ground: Ground = GROUND) -> str:
    return " ".join(command(walls, ground, "/ws", look))


def test_network() -> None:
    """There is none unless it is allowed."""
    assert "--unshare-net" in text(Sandbox())
    assert "--unshare-net" not in text(Sandbox(network=True))


def test_order_of_the_whole() -> None:
    """Its own /proc and /dev before what lies deeper; links and the closing of what is hidden, and of the root, at the end."""
    words = text(Sandbox(write=("/ws",), hide=("/ws/secret",), show=("/ws/secret/shown",)))
    steps = [
        "--die-with-parent",
        "--cap-drop ALL",
        "--proc /proc --remount-ro /proc --dev /dev",
        "--tmpfs /home/u",
        "--tmpfs /ws/secret",
        "--ro-bind /ws/secret/shown",
        "--remount-ro /ws/secret",
        "--symlink usr/bin /bin",
        "--symlink /home/u/.cache/npm /home/u/.npm",
        "--remount-ro / ",
        "--chdir /ws",
    ]
    places = [words.index(step) for step in steps]
    assert places == sorted(places)


def test_links_are_made_only_where_nothing_is() -> None:
    """Not in a directory of the user's, nor over something that is mounted."""
    assert "/home/u/.npm" not in text(Sandbox(write=("/home/u",)))
    assert "--symlink /home/u/.cache/npm" not in text(Sandbox(read=("/home/u/.npm/bin",)))


@pytest.mark.parametrize(("root", "own"), [(True, "--cap-add ALL"), (False, "--unshare-user")])
def test_whole(root: bool, own: str) -> None:
    """Only processes are walled in, and what is hidden; root stays root."""
    words = text(Sandbox(whole=True, hide=("/ws/secret", "/ws/missing")), evolve(GROUND, root=root))
    assert words == (
        f"--die-with-parent --unshare-pid {own} --dev-bind / / --proc /proc "
        "--perms 0111 --tmpfs /ws/secret --remount-ro /ws/secret --chdir /ws"
    )


def test_the_root_as_the_workspace() -> None:
    """It comes first, and the system in it is still only read."""
    words = text(Sandbox(write=("/",)))
    assert words.index("--bind / /") < words.index("--proc /proc") < words.index("--ro-bind /usr /usr")
    assert "--remount-ro / " not in words


def test_paths() -> None:
    """The directories of a path; those between it and what may be written."""
    assert parents("/a/b/c") == ["/a/b", "/a", "/"]
    assert parents("/") == []
    assert pins("/ws/.git/hooks", ["/ws", "/other"]) == ["/ws/.git"]
    assert pins("/ws/.agentd", ["/ws"]) == []
    assert pins("/else/.git/hooks", ["/ws"]) == []
