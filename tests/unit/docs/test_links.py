"""Every relative link and every path in the documentation names an existing file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "examples/*/README.md", "charts/*/README.md")
    for page in ROOT.glob(pattern)
)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_PATH = re.compile(
    r"`((?:services|operator|tests|tools|charts|examples|images|manifests|protos|docs|\.github|\.ci)/[\w./-]+)`"
)
_GENERATED = {"examples/sgd/pack.yaml", "examples/star/pack.yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    broken = [
        f"{path}#{anchor}" if anchor else path
        for path, anchor in _LINK.findall(text)
        if not _exists(page, path, anchor)
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text(encoding="utf-8"))) - _GENERATED
    assert {path for path in named if not (ROOT / path).exists()} == set()


def _exists(page: Path, path: str, anchor: str) -> bool:
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, by the rule of code-hosting web sites."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
