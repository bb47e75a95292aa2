"""A page in one HTML file that loads nothing, made of HTML that is safe against injection.

Style and script are inlined; a content security policy in the file forbids every external load and
every other script, so even a mistake in escaping could not run or fetch anything. Whatever is not
already `Html` is escaped: a string created by this module, which formatting or adding to a string
turns into a plain one, so that a mistake shows as visible tags, never as an injection. Links go
only to anchors and to pages in the same, a sibling or a lower folder; no element takes a `src`.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

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


def join_html(parts: Iterable[str]) -> Html:
    """Concatenate fragments, escaping those that are plain text."""
    return Html("".join(map(escape, parts)))


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


def definition_list(pairs: Iterable[tuple[str, str]], name: str = "dl.facts") -> Html:
    """Names and their values or meanings."""
    rows = [element("div", element("dt", term), element("dd", text)) for term, text in pairs]
    return element(name, *rows)


PAGE_SHORTCUTS = (
    ("?", "show or hide this list"),
    ("n / p", "next or previous section"),
    ("e", "open or close everything that is collapsed"),
    ("t", "switch between automatic, light and dark"),
)


@dataclass
class HtmlPage:
    """A page being built: elements at the top, then sections."""

    title: str
    lead: str
    """One sentence with the answer, under the title."""
    top: list[Html] = field(default_factory=list)
    sections: list[tuple[str, Html]] = field(default_factory=list)
    style: str = ""
    """Additional CSS, after look.css."""
    script: str = ""
    """Additional JavaScript, after look.js."""
    shortcuts: tuple[tuple[str, str], ...] = ()
    """The script's keyboard shortcuts and their meanings."""
    is_served: bool = False
    """Whether the script may talk to the server that the page came from."""

    def add(self, *parts: Html) -> None:
        """Add elements under the lead, before the first section."""
        self.top.extend(parts)

    def section(self, title: str, lead: str, *parts: Html) -> None:
        """Append a section; `lead` is its summary in a sentence or two."""
        name = anchor(title)
        head = element("h2", title, attributes={"id": f"{name}-title"})
        attributes = {"id": name, "aria-labelledby": f"{name}-title", "tabindex": -1}
        words = element("p.lead", lead) if lead else ""
        self.sections.append(
            (title, element("section", head, words, *parts, attributes=attributes))
        )

    def render(self) -> Html:
        """The complete document."""
        script = read_resource(__file__, "look.js") + self.script
        digest = hashlib.sha256(script.encode()).digest()
        policy = (
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
            f"script-src 'sha256-{base64.b64encode(digest).decode()}'"
            + ("; connect-src 'self'" if self.is_served else "")
        )
        metas = (
            {"charset": "utf-8"},
            {"http-equiv": "Content-Security-Policy", "content": policy},
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        )
        style = Html(f"<style>{read_resource(__file__, 'look.css')}{self.style}</style>")
        head = [element("meta", attributes=meta) for meta in metas]
        head = join_html([*head, element("title", self.title), style])
        return Html(
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n'
            f"<body>{self.body()}<script>{script}</script></body></html>\n"
        )

    def body(self) -> Html:
        """The document's body: bar, top, sections, list of keyboard shortcuts."""
        skip = element("a.skip", "Skip to the answer", attributes={"href": "#main"})
        theme = {"type": "button", "id": "theme", "hidden": True}
        button = element("button.theme", "Theme: automatic", attributes=theme)
        bar = element("div.bar", element("span.brand", "groundup"), button)
        title = element("header", element("h1", self.title), element("p.verdict", self.lead))
        sections = [section for _, section in self.sections]
        attributes = {"id": "main", "tabindex": -1}
        main = element("main", title, *self.top, self.contents(), *sections, attributes=attributes)
        promise = element("p", "Made by groundup. This page loads nothing from elsewhere.")
        keys = {"type": "button", "id": "keys-open", "hidden": True}
        footer = element("footer", promise, element("button", "Keys (?)", attributes=keys))
        dialog = _shortcuts_dialog((*self.shortcuts, *PAGE_SHORTCUTS))
        return join_html([skip, bar, main, footer, dialog])

    def contents(self) -> Html:
        """Links to the sections; empty for fewer than three."""
        if len(self.sections) < 3:
            return Html("")
        links = [
            element("li", element("a", title, attributes={"href": f"#{anchor(title)}"}))
            for title, _ in self.sections
        ]
        return element("nav", element("ul", *links), attributes={"aria-label": "Sections"})


def _shortcuts_dialog(keys: Iterable[tuple[str, str]]) -> Html:
    rows = definition_list(keys, "dl.keys")
    title = element("h2", "Keys", attributes={"id": "keys-title"})
    close = element("button", "Close", attributes={"type": "button", "id": "keys-close"})
    attributes = {"id": "keys", "aria-labelledby": "keys-title"}
    return element("dialog", title, rows, close, attributes=attributes)


@cache
def read_resource(module_file: str, name: str) -> str:
    """Text of a file in the same folder: `read_resource(__file__, "look.css")`."""
    return Path(module_file).with_name(name).read_text(encoding="utf-8")
