"""What is said when there can be no walls: what is wrong, and what to do about it."""

from __future__ import annotations

import pytest

from agentd.toolsources.sandbox.remedies import remedy

SETTINGS = "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces."


@pytest.mark.parametrize(
    ("problem", "settings", "wanted"),
    [
        ("bubblewrap is not installed", {}, "apt install bubblewrap"),
        (SETTINGS, {"kernel.unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"),
        (SETTINGS, {"user.max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces=15000"),
        (
            "bwrap: setting up uid map: Permission denied",
            {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", {}, "--security-opt systempaths=unconfined"),
        ("bwrap: Creating new namespace failed: Operation not permitted", {}, "--security-opt seccomp=unconfined"),
        ("there is no filter of system calls for riscv64", {}, "x86_64 and aarch64"),
        ("the sandbox's cache /x cannot be used: Permission denied", {}, "nothing else is wrong"),
    ],
)
def test_each_has_its_remedy(problem: str, settings: dict[str, str], wanted: str) -> None:
    """The setting that stands in the way is named, with the command that changes it; and how to do without, always."""
    said = remedy(problem, lambda name: settings.get(name, ""))
    assert wanted in said
    assert said.endswith('`sandbox.mode = "off"`.')
