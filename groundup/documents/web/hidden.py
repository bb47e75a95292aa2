"""Which elements of a page nobody sees: poisoned pages hide there what they tell a model.

    hidden, aria-hidden="true", display: none      nothing inside is seen
    visibility: hidden, font-size: 0               an element inside may be seen again

by an attribute, or by a rule of the page's own <style> for a tag with classes and ids: `.note`,
`p#tip.note`. Of rules and attributes that one counts that counts in a browser. Other selectors and
conditional rules (`.tabs .note`, `@media print`) are ignored, and so are style sheets elsewhere.

Source: CSS Cascade 4, §6.1 (which declaration wins); WHATWG HTML, §15.3.1 (hidden elements).
"""

import html
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

GONE, VISIBILITY, SIZE = 4, 2, 1
"""What hides: for good, or until an element inside is visible or has a size of its own."""
MAX_COMPOUNDS = 100
"""Rules of one class or id with further ones or a tag; more would cost squares. Own choice."""
ATTRIBUTE = re.compile(rb"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+)))?""")
COMMENT_OR_STRING = re.compile(
    r"""/\*.*?(?:\*/|\Z)|<!--|-->|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'""", re.DOTALL
)
OTHER_MEDIA = re.compile(
    rb"""\bmedia\s*=\s*["']?\s*(?!(?:all|screen)?\s*(?:["'/]|\Z))""", re.IGNORECASE
)
UNCONDITIONAL = re.compile(r"@layer\b.*|@media\s+(?:all|screen)", re.IGNORECASE | re.DOTALL)
COMPOUND = re.compile(r"\s*([\w-]*)\*?((?:[.#][\w-]+)+)\s*")
DECLARATION = re.compile(
    r"(?<![\w-])(display|visibility|font(?:-size)?)\s*:\s*([^;!}]*)(!\s*important)?"
)
FONT_SIZE = re.compile(r"(?:^|\s)(0|[\d.]+(?:[a-z]+|%)|[a-z-]*(?:small|medium|large))(?=[\s/]|\Z)")
RELATIVE = re.compile(r"[\d.]*(?:em|ex|ch|%)")


class Effect(NamedTuple):
    """What an element does to its text: sums of GONE, VISIBILITY and SIZE."""

    hides: int = 0
    shows: int = 0


Rank = tuple[bool, bool, int, int, int]
"""Important, in the attribute, ids, classes and tag, order: the highest counts."""
Declarations = dict[str, tuple[Rank, Effect]]
"""By property."""


class PageStyles:
    """The rules of a page's own styles that hide or show elements."""

    def __init__(self) -> None:
        self.rules: dict[str, dict[tuple[str, frozenset[str]], Declarations]] = {}
        """By one class or id, then by tag and all of them."""
        self.known: dict[tuple[bytes, bytes], Effect] = {}
        self.count = 0
        self.hides, self.has_hidden, self.is_asked = False, False, False
        """Whether a rule hides; whether an element was hidden; whether one was judged."""
        self.is_late, self.is_complete = False, False
        """Whether rules came after elements that they may be of; whether to add no more."""

    def add(self, css: bytes, attributes: bytes) -> None:
        """Add the rules of a <style>."""
        if self.is_complete or OTHER_MEDIA.search(attributes):
            return
        before, preludes = self.count, list[str]()
        text = COMMENT_OR_STRING.sub(" ", css.decode("utf-8", "replace"))
        parts = re.split(r"([{}])", text)
        for words, brace in zip(parts[::2], parts[1::2], strict=False):
            if brace == "{":
                preludes.append(words.rpartition(";")[2].strip())
            elif preludes:
                prelude = preludes.pop()
                if all(map(UNCONDITIONAL.fullmatch, preludes)):
                    self._add_rules(prelude, list(_declarations(words)))
        self.known.clear()
        is_new = self.count > before and (self.hides or self.has_hidden)
        self.is_late |= self.is_asked and is_new

    def _add_rules(self, prelude: str, found: "list[_Declaration]") -> None:
        for compound in map(COMPOUND.fullmatch, prelude.split(",") if found else ()):
            if not compound:
                continue
            tag, marks = compound[1].lower(), re.findall(r"[.#][\w-]+", compound[2])
            ids = sum(mark[0] == "#" for mark in marks)
            rank = (False, ids, len(marks) - ids + bool(tag), self.count)
            rules = self.rules.setdefault(marks[0], {})
            if len(rules) < MAX_COMPOUNDS or not tag and len(marks) == 1:
                _declare(rules.setdefault((tag, frozenset(marks)), {}), found, rank)
                self.count += 1
                self.hides |= any(each.effect.hides for each in found)

    def effect(self, name: bytes, attributes: bytes) -> Effect:
        """What an element does by its attributes and the rules so far."""
        if (found := self.known.get((name, attributes))) is None:
            found = self.known[name, attributes] = self._find_effect(name.decode(), attributes)
        self.has_hidden |= bool(found.hides)
        return found

    def _find_effect(self, name: str, attributes: bytes) -> Effect:
        values = dict[str, str]()
        for key, *texts in ATTRIBUTE.findall(attributes):
            text = html.unescape(b"".join(texts).decode("utf-8", "replace"))
            values.setdefault(key.decode("utf-8", "replace").lower(), text)
        marks = {f".{each}" for each in values.get("class", "").split()}
        marks.add("#" + values.get("id", "").strip())
        declared = Declarations()
        if "hidden" in values:
            _declare(declared, _declarations("display: none"), (False, -1, 0, 0))
        for mark in marks & self.rules.keys():
            for (tag, needed), own in self.rules[mark].items():
                if tag in ("", name) and needed <= marks:
                    for property, declaration in own.items():
                        declared[property] = max(declared.get(property, declaration), declaration)
        style = COMMENT_OR_STRING.sub(" ", values.get("style", ""))
        _declare(declared, _declarations(style), (True, 0, 0, 0))
        hides, shows = GONE * (values.get("aria-hidden", "").strip().lower() == "true"), 0
        for _, effect in declared.values():
            hides, shows = hides | effect.hides, shows | effect.shows
        return Effect(hides, shows)


class _Declaration(NamedTuple):
    property: str
    is_important: bool
    effect: Effect


def _declare(
    declared: Declarations, found: Iterable[_Declaration], rank: tuple[bool, int, int, int]
) -> None:
    """Keep those of a rule or an attribute that count more than what is declared."""
    for property, is_important, effect in found:
        own = (is_important, *rank)
        if property not in declared or declared[property][0] <= own:
            declared[property] = (own, effect)


def _declarations(words: str) -> Iterator[_Declaration]:
    for property, value, important in DECLARATION.findall(words.lower()):
        value, is_important = value.strip(), bool(important)
        if property == "display":
            yield _Declaration(property, is_important, Effect(GONE * (value == "none")))
        elif property == "visibility":
            hides, shows = value in ("hidden", "collapse"), value in ("visible", "initial")
            effect = Effect(VISIBILITY * hides, VISIBILITY * shows)
            yield _Declaration(property, is_important, effect)
        elif size := FONT_SIZE.search(value):
            number = size[1].rstrip("abcdefghijklmnopqrstuvwxyz%")
            hides = "0" in number and not number.strip("0.")
            shows = not hides and not RELATIVE.fullmatch(size[1])
            yield _Declaration("font-size", is_important, Effect(SIZE * hides, SIZE * shows))
