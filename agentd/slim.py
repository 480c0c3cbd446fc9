"""Less memory for the same; loaded before any other module of agentd."""

from __future__ import annotations

import linecache
from typing import Any


class _Lines(dict[str, Any]):
    """What `linecache` keeps, but not the sources of generated methods: attrs puts them there for debuggers, a megabyte."""

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        return default if key.startswith("<attrs generated") else super().setdefault(key, default)


linecache.cache = _Lines(linecache.cache)
