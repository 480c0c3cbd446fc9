"""What of this machine every walled-in child sees: the system, a few files of /etc, the user's toolchains, a cache of its own."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Literal

from attrs import frozen

Kind = Literal["scratch", "read", "write", "pin", "keep", "hide", "show"]

SYSTEM = ("/usr", "/opt", "/nix", "/gnu", "/snap", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC_FILES = """
    passwd group hosts host.conf hostname nsswitch.conf gai.conf protocols services networks rpc netconfig resolv.conf krb5.conf
    localtime timezone locale.alias locale.conf os-release lsb-release debian_version redhat-release alpine-release
    ld.so.cache ld.so.conf profile bash.bashrc bashrc inputrc environment shells magic mime.types mailcap xattr.conf papersize
    gitconfig npmrc pip.conf wgetrc vimrc nanorc ssh/ssh_config ssl/openssl.cnf pki/tls/openssl.cnf pki/tls/cert.pem ssl/cert.pem
""".split()  # noqa: SIM905 - a table to read
"""Copied, because a mount for each would cost every start 0.2 ms apiece, and only what anybody may read: never the shadow file."""
ETC_FOLDERS = """
    alternatives ssl/certs pki/ca-trust pki/tls/certs ca-certificates crypto-policies ld.so.conf.d ssh/ssh_config.d
    fonts terminfo perl maven gradle R ImageMagick-* java java-* jvm* python3* php ruby
""".split()  # noqa: SIM905
HOME_TOOLS = """
    .gitconfig .gitignore .gitignore_global .config/git .ssh/known_hosts .ssh/config .editorconfig .tool-versions .nvmrc
    .local/bin .local/lib .local/share/uv .local/share/mise .local/share/pipx .local/share/virtualenvs .local/share/fnm
    .local/share/rtx .local/share/pnpm .local/share/nvm .local/share/coursier
    .cargo/bin .cargo/env .rustup .nvm .fnm .pyenv .asdf .volta .bun .deno .rbenv .rvm .nodenv .goenv .jenv .sdkman .ghcup .nimble
    .elan .opam .juliaup .dotnet .flutter .linuxbrew .linuxbrew miniconda3 miniforge3 mambaforge anaconda3 .conda/envs
    go/bin sdk bin .npm-global .yarn/bin .m2/wrapper .gradle/wrapper .pub-cache/bin .krew/bin .foundry/bin
""".split()  # noqa: SIM905
"""Of the home directory, to be read: programs and the settings of git and ssh. Nothing in which credentials are kept."""
CACHES = {
    ".npm": "npm",
    ".yarn/cache": "yarn",
    ".bun/install/cache": "bun",
    ".cargo/registry": "cargo/registry",
    ".cargo/git": "cargo/git",
    "go/pkg": "go/pkg",
    ".m2/repository": "m2/repository",
    ".gradle/caches": "gradle/caches",
    ".gradle/daemon": "gradle/daemon",
    ".nuget": "nuget",
    ".gem": "gem",
    ".cpan": "cpan",
    ".node-gyp": "node-gyp",
    ".electron-gyp": "electron-gyp",
}
"""Where tools keep what they fetched, in home, and where that is in the cache of the walled-in."""
SECRETS = """
    .ssh .gnupg .aws .azure .kube .docker .netrc .npmrc .pypirc .git-credentials .config/gh .config/hub .config/glab-cli
    .config/gcloud .config/op .config/doctl .config/rclone .config/sops .config/google-chrome .config/chromium .config/Code
    .config/BraveSoftware .config/Signal .config/Slack .config/discord .mozilla .thunderbird .password-store .pgpass .my.cnf
    .vault-token .terraform.d .boto .s3cfg .cargo/credentials .cargo/credentials.toml .m2/settings.xml .gradle/gradle.properties
    .gem/credentials .local/share/keyrings .config/pip .pip .bash_history .zsh_history .python_history .psql_history
    .config/agentd .local/share/agentd .bitcoin .ethereum .electrum
""".split()  # noqa: SIM905
"""What not even a session in the home directory itself sees."""
STARTUP = """
    .bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile .zlogin .inputrc .xinitrc
    .xprofile .xsessionrc .pam_environment .gitconfig .config/git .config/fish .config/autostart .config/systemd
    .config/environment.d .local/bin .local/share/applications .local/share/systemd .local/lib bin .cargo/bin
    .vimrc .vim .config/nvim .emacs .emacs.d .tmux.conf .pythonrc .gdbinit
""".split()  # noqa: SIM905
"""What a session in the home directory itself cannot change: it is run outside of the walls, by the next shell or program."""


TEMPORARY_KEPT = 86400.0  # seconds after the last command that a workspace's /tmp is kept


@frozen
class Mount:
    """`source`: what is seen at `path`, if it is not what is there outside."""

    path: str
    kind: Kind
    source: str = ""


@frozen(kw_only=True)
class Ground:
    """`links`: symbolic links to make. `secrets`, `startup`: only for whoever sees the whole of `home`. `root`: we are, with all of
    its rights."""

    home: str
    mounts: tuple[Mount, ...] = ()
    links: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    startup: tuple[str, ...] = ()
    root: bool = False


def survey(home: str, cache: str) -> Ground:
    """The machine as it is now; some 150 looks at the disk. `cache`: the directory that `furnish` has furnished.

    Error handling: OSError if the cache cannot be written.
    """
    etc = f"{cache}/etc"
    _refresh(etc)
    mounts = [Mount("/tmp", "scratch"), Mount("/run", "scratch"), Mount("/etc", "read", etc)]  # noqa: S108
    links = {"/var/tmp": "/tmp", "/var/run": "/run"}  # noqa: S108
    for path in SYSTEM:
        if os.path.islink(path):
            links[path] = os.readlink(path)
        elif os.path.isdir(path):
            mounts.append(Mount(path, "read"))
    mounts += [Mount(f"/etc/{folder}", "read", f"/etc/{folder}") for folder in _folders()]
    real = os.path.realpath(home)
    if real != "/":
        mounts += [Mount(real, "scratch"), Mount(f"{real}/.cache", "write", f"{cache}/home")]
        mounts += [Mount(path, "read", os.path.realpath(path)) for path in _there(real, HOME_TOOLS)]
        links |= {f"{real}/{path}": f"{real}/.cache/{where}" for path, where in CACHES.items()}
    if real != home:
        links[home] = real
    return Ground(
        home=real,
        mounts=tuple(mounts),
        links=links,
        secrets=tuple(map(os.path.realpath, _there(real, SECRETS))),
        startup=tuple(map(os.path.realpath, _there(real, STARTUP))),
        root=os.geteuid() == 0 and _may_make_namespaces(),
    )


def _may_make_namespaces() -> bool:
    """Whether we have CAP_SYS_ADMIN (21): root in a container has not, and needs a user namespace like everybody else."""
    with suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


def furnish(cache: str) -> None:
    """Make what `survey` needs, and clear away what nobody has used lately. Takes its time. Error handling: OSError."""
    for folder in ("etc", "home", "temporary", *(f"home/{where}" for where in CACHES.values())):
        os.makedirs(f"{cache}/{folder}", mode=0o700, exist_ok=True)
    for entry in os.scandir(f"{cache}/temporary"):
        if entry.stat(follow_symlinks=False).st_mtime < time.time() - TEMPORARY_KEPT:
            shutil.rmtree(entry.path, ignore_errors=True)


def _there(home: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for name in names if os.path.lexists(path := f"{home}/{name}"))


def _folders() -> list[str]:
    found = []
    for name in ETC_FOLDERS:
        places = glob.glob(f"/etc/{name}") if "*" in name else [f"/etc/{name}"]
        found += [place.removeprefix("/etc/") for place in sorted(places) if os.path.isdir(place)]
    return found


def _refresh(copy: str) -> None:
    """Bring the copies of what is in /etc up to date: the newest time of a file is its copy's, too."""
    for name in ETC_FILES:
        source, target = f"/etc/{name}", f"{copy}/{name}"
        with suppress(FileNotFoundError, NotADirectoryError):
            there = os.stat(source)
            if not (stat.S_ISREG(there.st_mode) and there.st_mode & stat.S_IROTH):
                continue
            with suppress(FileNotFoundError):
                if os.lstat(target).st_mtime_ns == there.st_mtime_ns:
                    continue
            _copy(source, target, there)
    for folder in _folders():
        os.makedirs(f"{copy}/{folder}", exist_ok=True)


def _copy(source: str, target: str, there: os.stat_result) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    made = f"{target}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(made)
    real = os.path.realpath(source)
    if real.startswith("/usr/"):  # seen inside, too; and the name that /etc/localtime leads to is that of the time zone
        os.symlink(real, made)
    else:
        with open(source, "rb") as old, open(made, "xb") as new:
            new.write(old.read())
        os.chmod(made, 0o644)
    os.utime(made, ns=(there.st_atime_ns, there.st_mtime_ns), follow_symlinks=False)
    os.replace(made, target)


def toolchains(path: str, prefixes: Iterable[str], home: str) -> list[str]:
    """Directories, links resolved, of the programs that the environment and we ourselves use, wherever they lie: those of PATH,
    and `prefixes` (of Python)."""
    found = [prefix for prefix in prefixes if prefix.startswith("/")]
    found += [_installation(each) for each in path.split(":") if each.startswith("/")]
    return [path for path in map(os.path.realpath, found) if path != "/" and not _holds(path, home) and os.path.isdir(path)]


def _installation(path: str) -> str:
    """The whole of an installation to whose `bin` this leads, if it looks like one: a program without its libraries is none."""
    parent, name = os.path.split(path.rstrip("/"))
    is_one = name in ("bin", "sbin") and any(os.path.exists(f"{parent}/{part}") for part in ("lib", "pyvenv.cfg", "libexec"))
    return parent if is_one and os.path.basename(parent) != ".local" else path


def _holds(path: str, home: str) -> bool:
    return home == path or home.startswith(path.rstrip("/") + "/")
