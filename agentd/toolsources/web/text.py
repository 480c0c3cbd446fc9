"""Pages as text that a model can read: HTML as Markdown without scripts and menus, other text as it is. Slow: for a thread."""

from __future__ import annotations

import codecs
import re

from agentd.toolsources.web.fetching import Page

_TEXTS = re.compile(r"text/.*|application/(.*\+)?(json|xml|javascript|yaml|toml|x-yaml|x-ndjson|x-sh)|image/svg\+xml")
_HTML = ("text/html", "application/xhtml+xml")
_UNREAD = ("script", "style", "noscript", "template", "svg", "iframe", "nav", "footer", "form", "button", "dialog")
_META = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE)


def is_text(page: Page) -> bool:
    """Whether it can be read; where the host does not say, whether it looks so."""
    if page.media:
        return _TEXTS.fullmatch(page.media) is not None
    return b"\0" not in page.content[:4096]


def readable(page: Page) -> str:
    """The page as text."""
    text = _decoded(page)
    if page.media in _HTML or (not page.media and "<html" in text[:2000].lower()):
        text = _markdown(text)
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()


def _decoded(page: Page) -> str:
    declared = _META.search(page.content[:4096])
    for name in (page.charset, declared[1].decode("ascii") if declared else "", "utf-8"):
        try:
            codec = codecs.lookup(name) if name else None
        except LookupError:
            continue
        if codec is not None and getattr(codec, "_is_text_encoding", True):
            return page.content.decode(codec.name, "replace")
    return page.content.decode("utf-8", "replace")


def _markdown(html: str) -> str:
    from bs4 import BeautifulSoup  # on first use, in the thread
    from markdownify import markdownify

    soup = BeautifulSoup(html, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for element in soup(_UNREAD):
        element.decompose()
    main = soup.find("main") or soup.find("article") or soup.body or soup
    text: str = markdownify(str(main), heading_style="ATX", strip=["img"])
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"# {title}\n\n{text}" if title and not text.startswith("# ") else text
