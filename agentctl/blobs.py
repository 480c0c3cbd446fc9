"""Contents on their way into a session: the pieces of a blob, and what a file given on the command line is."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
import select
import stat
from contextlib import suppress
from typing import Any

from agentwire.errors import Conflict, InvalidParams, Overloaded
from agentwire.media import ACCEPTED, IMAGES, is_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[str, dict[str, Any]], dict[str, Any]]

MOST = 20 * 1024 * 1024
"""Bytes of one attached file: model hosts take 20 to 32 MB in all."""
_PIECE = 256 * 1024
_ATTEMPTS = 20
"""For one blob: a daemon that restarted has forgotten its first pieces, others may be putting theirs."""


def put(call: Call, session: str, name: str, content: bytes) -> None:
    """Brings one blob into the session. `name`: its sha256. *Errors*: whatever the daemon answers."""
    for attempt in range(_ATTEMPTS):
        try:
            for offset in range(0, max(len(content), 1), _PIECE):
                data = base64.b64encode(content[offset : offset + _PIECE]).decode()
                call("blob/put", {"session": session, "blob": name, "bytes": len(content), "offset": offset, "data": data})
        except (Conflict, Overloaded) as error:
            if attempt == _ATTEMPTS - 1:
                raise
            select.select([], [], [], error.retry_after or 0.0)
        else:
            return


class Attachment:
    """A file that goes with a prompt: read at once, so that a mistake is told before anything is sent.

    *Errors*: InvalidParams for one that cannot be read, is empty, no regular file, too long, or nothing that a model could take.
    """

    def __init__(self, path: str) -> None:
        self.content = _read(path)
        self.media = _media(path, self.content)
        self.blob = hashlib.sha256(self.content).hexdigest()
        self.name = os.path.basename(path)

    @property
    def part(self) -> dict[str, Any]:
        """As it stands in a prompt."""
        about = {"blob": self.blob, "bytes": len(self.content), "media": self.media}
        return {"kind": "image", **about} if self.media in IMAGES else {"kind": "file", **about, "name": self.name}


def _read(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InvalidParams(f"{path} is no file")
        with open(path, "rb") as file:
            content = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        raise InvalidParams(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if not content:
        raise InvalidParams(f"{path} is empty")
    if len(content) > MOST:
        raise InvalidParams(f"{path} has more than {MOST // 2**20} MiB, more than models take")
    return content


def _media(path: str, content: bytes) -> str:
    """By the content: names lie, a host refuses an image that is not what it says, and what is text anybody can read."""
    for begin, media in _MAGIC:
        if content.startswith(begin):
            return media
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    guessed = mimetypes.guess_type(path)[0] or ""
    text = is_text(guessed)  # in whatever encoding
    with suppress(UnicodeDecodeError):
        content.decode()
        text = True
    if not text or b"\0" in content:
        raise InvalidParams(f"{path} cannot be attached: it is not {ACCEPTED}" + (f", but {guessed}" if guessed else ""))
    return guessed if is_text(guessed) else "text/plain"


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
