"""A page: one HTML file that opens from disk and loads nothing from elsewhere.

Style and script are inlined; a content security policy in the file forbids every external load and
every other script, so even a mistake in escaping could not run or fetch anything.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .html import Html, anchor, element, join_html
from .parts import definition_list

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
        meta = {"http-equiv": "Content-Security-Policy", "content": policy}
        head = join_html(
            [
                element("meta", attributes={"charset": "utf-8"}),
                element("meta", attributes=meta),
                element("meta", attributes=VIEWPORT),
                element("meta", attributes={"name": "color-scheme", "content": "light dark"}),
                element("title", self.title),
                Html(f"<style>{read_resource(__file__, 'look.css')}{self.style}</style>"),
            ]
        )
        return Html(
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n'
            f"<body>{self.body()}<script>{script}</script></body></html>\n"
        )

    def body(self) -> Html:
        """The document's body: bar, top, sections, list of keyboard shortcuts."""
        bar = element(
            "div.bar",
            element("span.brand", "groundup"),
            element(
                "button.theme",
                "Theme: automatic",
                attributes={"type": "button", "id": "theme", "hidden": True},
            ),
        )
        title = element("header", element("h1", self.title), element("p.verdict", self.lead))
        return join_html(
            [
                element("a.skip", "Skip to the answer", attributes={"href": "#main"}),
                bar,
                element(
                    "main",
                    title,
                    *self.top,
                    self.contents(),
                    *[section for _, section in self.sections],
                    attributes={"id": "main", "tabindex": -1},
                ),
                element(
                    "footer",
                    element("p", "Made by groundup. This page loads nothing from elsewhere."),
                    element("button", "Keys (?)", attributes=SHORTCUTS_BUTTON),
                ),
                _shortcuts_dialog((*self.shortcuts, *PAGE_SHORTCUTS)),
            ]
        )

    def contents(self) -> Html:
        """Links to the sections; empty for fewer than three."""
        if len(self.sections) < 3:
            return Html("")
        links = [
            element("li", element("a", title, attributes={"href": f"#{anchor(title)}"}))
            for title, _ in self.sections
        ]
        return element("nav", element("ul", *links), attributes={"aria-label": "Sections"})


VIEWPORT = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
SHORTCUTS_BUTTON = {"type": "button", "id": "keys-open", "hidden": True}


def _shortcuts_dialog(keys: Iterable[tuple[str, str]]) -> Html:
    """The list of keyboard shortcuts, shown by `?`."""
    rows = definition_list(keys, "dl.keys")
    title = element("h2", "Keys", attributes={"id": "keys-title"})
    close = element("button", "Close", attributes={"type": "button", "id": "keys-close"})
    attributes = {"id": "keys", "aria-labelledby": "keys-title"}
    return element("dialog", title, rows, close, attributes=attributes)


@cache
def read_resource(module_file: str, name: str) -> str:
    """Text of a file in the same folder: `read_resource(__file__, "look.css")`."""
    return Path(module_file).with_name(name).read_text(encoding="utf-8")
