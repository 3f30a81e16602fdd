"""The text of a message that an export wrote as HTML."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

_BLOCKS = (
    "address article aside blockquote dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav "
    "ol p pre section table tbody td tfoot th thead tr ul"
)
_INLINE = (
    "a abbr b bdi bdo big br cite code del em font i img ins kbd label mark q s samp small span strike strong sub sup "
    "tt u wbr"
)
_SILENT = frozenset(("head", "script", "style", "title"))  # their content is not shown
_LINE_BREAKS = frozenset((*_BLOCKS.split(), "br"))
_KNOWN = _LINE_BREAKS | frozenset(_INLINE.split()) | _SILENT | {"body", "html"}
_NAMES = "|".join(sorted(_KNOWN, key=len, reverse=True))
# A message is HTML if it holds an element with its end tag, or a tag that has none. "Close the <div> tag" is a text.
_ELEMENT = re.compile(
    rf"<({_NAMES})\b[^<>]*>.*?</\1\s*>|<(?:br|hr|img|wbr)\b[^<>]*>", re.IGNORECASE | re.DOTALL
)
_WHOLE = re.compile(rf"\s*<({_NAMES})\b[^<>]*>.*</\1\s*>\s*", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def text_of_html(text: str) -> str:
    """Return the text without its HTML tags, and with character references such as `&amp;` replaced.

    Tags that HTML does not know stay, because logs hold end markers such as `<stop />`. A text without HTML is returned
    as it is.
    """
    if "<" in text and _ELEMENT.search(text):
        text = _shown(text)
    if "&" in text and _REFERENCE.search(text):
        text = _REFERENCE.sub(lambda found: unescape(found.group()), text)
        if _REFERENCE.search(text):  # some exports escape twice
            text = _REFERENCE.sub(lambda found: unescape(found.group()), text)
        if _WHOLE.fullmatch(text):  # the whole message was escaped
            text = _shown(text)
    return text


def _shown(text: str) -> str:
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = (" ".join(line.split(" ")).strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    """Collects the text of a document. Blocks begin and end a line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._silent = 0  # open elements whose content is not shown

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        self._tag(tag, self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag(tag, self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        self._tag(tag, f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._add(data)

    def handle_entityref(self, name: str) -> None:
        self._add(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._add(f"&#{name};")

    def _tag(self, tag: str, written: str) -> None:
        if tag in _LINE_BREAKS:
            self._add("\n")
        elif tag not in _KNOWN:
            self._add(written)

    def _add(self, text: str) -> None:
        if not self._silent:
            self.parts.append(text)
