"""What to do when bubblewrap does not work, from what it says and from what the kernel is set to. Reads /proc/sys only."""

from __future__ import annotations

from collections.abc import Callable

INSTALL = "Install bubblewrap: `apt install bubblewrap`, `dnf install bubblewrap`, `pacman -S bubblewrap`, `apk add bubblewrap`."
OFF = 'Without a sandbox, if that is what you want: `sandbox.mode = "off"`.'


def remedy(problem: str, read: Callable[[str], str] | None = None) -> str:
    """One or two sentences. `read`: the value of a kernel setting, "" if there is none."""
    read = read or _sysctl
    return f"{_cure(problem, read)} {OFF}"


def _cure(problem: str, read: Callable[[str], str]) -> str:
    if "not installed" in problem:
        return INSTALL
    if "cache" in problem:
        return "Mend that; nothing else is wrong."
    if "filter of system calls" in problem:
        return "The sandbox exists for x86_64 and aarch64."
    if read("kernel.unprivileged_userns_clone") == "0":
        return "This kernel lets only root make user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1`."
    if read("user.max_user_namespaces") == "0":
        return "User namespaces are switched off: `sudo sysctl -w user.max_user_namespaces=15000`."
    if read("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps programs from making user namespaces. The distribution's bubblewrap may: `sudo apt install bubblewrap "
            "apparmor-profiles`; or lift it: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    if "proc" in problem:
        return "In a container: give it an unmasked /proc (`--security-opt systempaths=unconfined`, or `--privileged`)."
    return "In a container: let it make namespaces (`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`)."


def _sysctl(name: str) -> str:
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}") as file:
            return file.read().strip()
    except OSError:
        return ""
