"""HTML that cannot be broken by what it shows: whatever is not already `Html` is escaped.

`Html` is a string that this module made. Formatting or adding it to a string gives a plain string
again, which is then escaped: a mistake shows as visible tags, never as a hole. A page may not refer
to anything outside its own folder, so links go to anchors and to pages beside or below it, and no
element takes a `src`.
"""

import html
import re
from collections.abc import Iterable, Mapping

from ..errors import DataError

Attribute = str | float | bool | None

NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
VOID = frozenset({"br", "hr", "input", "meta"})
REFUSED = frozenset({"script", "style", "iframe", "object", "embed", "link", "base", "img", "form"})
NEAR = re.compile(r"#.*|(\.\./)?(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.html(?:#.*)?", re.DOTALL)
CONTROLS = {n: "\ufffd" for n in (*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000))}


class Html(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()


def escape(value: str) -> Html:
    """Make text safe; `Html` stays as it is. Control characters and lone surrogates become U+FFFD.

    >>> escape("a < b & <script>")
    'a &lt; b &amp; &lt;script&gt;'
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(value.translate(CONTROLS), quote=True))


def join(parts: Iterable[str], separator: str = "") -> Html:
    """Put fragments after each other, text among them escaped."""
    return Html(escape(separator).join(escape(part) for part in parts))


def element(name: str, *children: str, attributes: Mapping[str, Attribute] | None = None) -> Html:
    """Make one element; its name may carry classes, as in `p.lead.quiet`.

    Attributes that are None or False are left out; True gives a bare one.

    Raises DataError for elements and attributes that could run code or load from elsewhere.

    >>> element("p.note", "2 < 3", attributes={"id": "sum", "hidden": True})
    '<p class="note" id="sum" hidden>2 &lt; 3</p>'
    """
    name, *classes = name.split(".")
    if not NAME.fullmatch(name) or name.lower() in REFUSED:
        raise DataError(f"A page cannot hold the element {name!r}; use text, tables and charts.")
    given = {"class": " ".join(classes) or None, **(attributes or {})}
    opening = Html(f"<{name}{''.join(attribute(*pair) for pair in given.items())}>")
    if name in VOID:
        return opening
    return Html(f"{opening}{join(children)}</{name}>")


def attribute(name: str, value: Attribute) -> str:
    """Make one attribute with its leading space; an absent one is an empty string."""
    if not NAME.fullmatch(name) or name.lower().startswith("on") or name.lower() == "src":
        raise DataError(f"A page cannot hold the attribute {name!r}.")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if name.lower() == "href" and not NEAR.fullmatch(str(value)):
        raise DataError(
            "A page links only to itself and to the pages that lie with it; expected "
            f"href='#…' or href='folder/page.html', got {value!r}."
        )
    if name == "style" and "url" in str(value).lower():
        raise DataError(f"A page loads nothing from elsewhere; got style {value!r}.")
    return f' {name}="{html.escape(str(value).translate(CONTROLS), quote=True)}"'


def anchor(text: str) -> str:
    """Turn a title into the id that links can point to.

    >>> anchor("What was made?")
    'what-was-made'
    """
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "part"
