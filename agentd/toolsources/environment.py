"""The environment of a tool's processes: built, never ours, so that none of the daemon's keys is in it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def built(session: Mapping[str, str], call: str) -> dict[str, str]:
    """The session's environment with what every program expects of one, for the call of this id."""
    user = _user()
    return {
        "HOME": os.path.expanduser("~"),
        "USER": user,
        "LOGNAME": user,
        "PATH": FALLBACK_PATH,
        "LANG": "C.UTF-8",
        **session,
        "AGENTD_CALL_ID": call,
    }


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        return str(os.getuid())
