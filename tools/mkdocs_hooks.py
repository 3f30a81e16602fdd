"""Make the pages of docs/ work as a website: links to other files of the repository lead to the repository.

A Markdown file links relatively (`../examples/pharmacy`), so that its links work in a checkout and in a repository's
web view. The website holds docs/ alone. The links that leave docs/ are therefore rewritten to the address of
DOCS_REPOSITORY_URL; where that is not set, the link becomes its text with the path in the repository.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")
_log = logging.getLogger("mkdocs.hooks.repository")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of one page; MkDocs calls this before it converts the page."""

    def rewritten(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        if not (ROOT / path).exists():
            _log.warning("%s links to ../%s, which does not exist", page.file.src_uri, path)
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path}{anchor})"
        return f"`{path}`" if path.endswith(text) else f"{text} (`{path}`)"

    return _OUTSIDE.sub(rewritten, markdown)
