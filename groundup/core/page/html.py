"""HTML that is safe against injection: whatever is not already `Html` is escaped.

`Html` is a string created by this module. Formatting it or adding it to a string gives a plain
string, which is escaped again: a mistake shows as visible tags, never as an injection. Links go
only to anchors and to pages in the same, a sibling or a lower folder; no element takes a `src`.
"""

import html
import re
from collections.abc import Iterable, Mapping

from ..errors import DataError

Attribute = str | float | bool | None

TAG_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
VOID_ELEMENTS = frozenset({"br", "hr", "input", "meta"})
FORBIDDEN_ELEMENTS = frozenset(
    {"script", "style", "iframe", "object", "embed", "link", "base", "img", "form"}
)
LOCAL_HREF = re.compile(r"#.*|(\.\./)?(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.html(?:#.*)?", re.DOTALL)
CONTROL_REPLACEMENTS = {
    n: "\ufffd" for n in (*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000))
}


class Html(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()


def escape(value: str) -> Html:
    """Escape text; `Html` stays unchanged. Control characters and lone surrogates become U+FFFD.

    >>> escape("a < b & <script>")
    'a &lt; b &amp; &lt;script&gt;'
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(value.translate(CONTROL_REPLACEMENTS), quote=True))


def join_html(parts: Iterable[str], separator: str = "") -> Html:
    """Concatenate fragments, escaping those that are plain text."""
    return Html(escape(separator).join(escape(part) for part in parts))


def element(name: str, *children: str, attributes: Mapping[str, Attribute] | None = None) -> Html:
    """Make one element; its name may carry classes, as in `p.lead.quiet`.

    Attributes that are None or False are omitted; True gives one without a value.

    Raises DataError for elements and attributes that could run code or load from elsewhere.

    >>> element("p.note", "2 < 3", attributes={"id": "sum", "hidden": True})
    '<p class="note" id="sum" hidden>2 &lt; 3</p>'
    """
    name, *classes = name.split(".")
    if not TAG_NAME.fullmatch(name) or name.lower() in FORBIDDEN_ELEMENTS:
        raise DataError(f"A page cannot hold the element {name!r}; use text, tables and charts.")
    items = {"class": " ".join(classes) or None, **(attributes or {})}.items()
    opening = Html(f"<{name}{''.join(_format_attribute(*item) for item in items)}>")
    if name in VOID_ELEMENTS:
        return opening
    return Html(f"{opening}{join_html(children)}</{name}>")


def _format_attribute(name: str, value: Attribute) -> str:
    """One attribute with its leading space; an empty string for None or False."""
    if not TAG_NAME.fullmatch(name) or name.lower().startswith("on") or name.lower() == "src":
        raise DataError(f"A page cannot hold the attribute {name!r}.")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if name.lower() == "href" and not LOCAL_HREF.fullmatch(str(value)):
        raise DataError(
            "A page links only to itself and to pages in its folder; expected "
            f"href='#…' or href='folder/page.html', got {value!r}."
        )
    if name == "style" and "url" in str(value).lower():
        raise DataError(f"A page loads nothing from elsewhere; got style {value!r}.")
    return f' {name}="{html.escape(str(value).translate(CONTROL_REPLACEMENTS), quote=True)}"'


def anchor(text: str) -> str:
    """Turn a title into an id for links.

    >>> anchor("What was made?")
    'what-was-made'
    """
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "part"
