"""What makes a wire dialect: how a prompt becomes a request's bytes, a reply's bytes deltas, an error answer an error. All sans-IO.

The endpoint (endpoint.py) is the same for all dialects: connections, keys, time limits, and what a silence or a wrong answer means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from agentd.ports import Delta, Prompt
from agentd.providers.catalog import ModelData
from agentwire.errors import ProviderError

if TYPE_CHECKING:
    import httpx2


@frozen(kw_only=True)
class Listed:
    """A model that a host lists; what it does not say of it is 0 or empty. `context` in tokens."""

    name: str
    context: int = 0
    note: str = ""


class Decoder(Protocol):
    """One streamed reply. `feed` it the body, then call `finish` at the body's end unless it is `finished` by then.

    `finished`: the Stop was given; nothing more will come. `complete`: the reply's end was seen: a body that breaks after it has
    lost nothing but usage. `events`: how many events came so far (pings are none). `failed`: what the stream said or was that ends
    it; the deltas before it are given first, in any split of the bytes, and it is raised by the next `feed` or `finish`.
    """

    finished: bool
    events: int
    failed: ProviderError | None

    @property
    def complete(self) -> bool: ...

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas in `data`, joined: for each part its PartStart if new and at most one PartText."""

    def finish(self) -> list[Delta]:
        """The deltas that the end of the body brings. Raises ProviderDown if the reply was cut off before its end."""


class Dialect(Protocol):
    """`base`: the address of the vendor's own host, for which no other is configured, and `keyed`: whether that one wants an API
    key. `path` of the requests that stream and `models_path` of the list of models come behind the address. `content_types`: what
    the body of a stream may call itself."""

    @property
    def base(self) -> str: ...

    @property
    def keyed(self) -> bool: ...

    @property
    def path(self) -> str: ...

    @property
    def models_path(self) -> str: ...

    @property
    def content_types(self) -> Sequence[str]: ...

    def encode(self, prompt: Prompt, data: ModelData) -> list[bytes]:
        """The body in blocks. Keeps what it encoded of each session: a history only grows at its end."""

    def decoder(self, who: str, prompt: Prompt, data: ModelData) -> Decoder:
        """For the reply to `prompt`. `who`: the host, for error messages."""

    def refused(self, who: str, status: int | None, body: object, *, retry_after: float | None = None) -> ProviderError:
        """What an error answer means, or with `status` None an error in the reply. `body` as JSON, or as text if it is none."""

    def listed(self, body: bytes) -> Sequence[Listed]:
        """The models in the answer to `models_path`. Raises ValueError if it is no such list."""

    def rehearse(self) -> Rehearse:
        """Imports the vendor's SDK, which takes long: called in a worker thread."""


Rehearse = Callable[["httpx2.AsyncClient", str, str, Mapping[str, str]], Awaitable[None]]
"""(http, base URL, key, further headers): let the vendor's SDK send its streaming request through `http`, which sends it nowhere:
the endpoint learns its address and headers from it. An empty key: the host asks for none. ValueError for what the SDK refuses."""
