"""Blocks: boilerplate without telling class names, by its position and share of links.

From the body down, the child with most of the unlinked words holds the text. Its siblings are
removed if they are mostly links, if their heading says what they are (`Related stories`), or if
they follow it and hold the copyright. A page that is mostly links is a list of links on purpose and
is kept. Knows the marks around links; for classes and ids see chrome.py.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .lines import match_line_rule
from .links import MAX_LINK_SHARE
from .marks import ANY_MARK, LINK_START, LINK_TEXT

COPYRIGHT = re.compile(
    r"©|\(c\)\s*\d{4}|\bcopyright\b.{0,9}\d{4}|all rights reserved", re.IGNORECASE
)
BLOCKS = frozenset("div section ul ol table center td".split())
HEADINGS = frozenset("h2 h3 h4 h5 h6 b strong p div span".split())
MAX_TREE_DEPTH = 20
MAX_CHILDREN = 400
"""Children of an element that are inspected; a page with more is kept as it is."""
MIN_LINKED_SHARE = 0.5
"""Share of a block's letters in links from which it is boilerplate. Source: generated shells."""
MIN_LINKS = 4
MAX_FOOTER_LETTERS = 1_000
"""Letters up to which a block with the copyright is a footer."""


class MeasuredElement(NamedTuple):
    """An element and its letters, linked letters and links."""

    node: Any
    letters: int
    linked_letters: int
    links: int


class SideElement(NamedTuple):
    """A boilerplate element and its kind."""

    node: Any
    kind: str


def find_side_elements(body: Any) -> Iterator[SideElement]:
    """Yield the boilerplate blocks around the text, outermost first."""
    node = body
    for depth in range(MAX_TREE_DEPTH):
        blocks = [_measure_element(child) for child in _child_elements(node)]
        own = [sibling.letters - sibling.linked_letters for sibling in blocks]
        if not blocks or (
            not depth and sum(own) < (1 - MAX_LINK_SHARE) * sum(b.letters for b in blocks)
        ):
            return
        most = max(range(len(own)), key=own.__getitem__)
        holds_text = own[most] > sum(own) / 2 and blocks[most].node.tag in BLOCKS
        for number, sibling in enumerate(blocks):
            if number != most or not holds_text:
                kind = _boilerplate_kind(sibling, holds_text, number > most, sum(own))
                if kind:
                    yield SideElement(sibling.node, kind)
        if not holds_text:
            return
        node = blocks[most].node


def _child_elements(node: Any) -> list[Any]:
    """The child elements of an element; none if they are too many."""
    elements, child = [], node.first_element_child
    while child is not None:
        elements.append(child)
        if len(elements) > MAX_CHILDREN:
            return []
        child = child.next_element_sibling
    return elements


def _measure_element(node: Any) -> MeasuredElement:
    """Measure an element by the marks around its links."""
    text = node.text or ""
    links = LINK_TEXT.findall(text) if LINK_START in text else []
    return MeasuredElement(node, _count_letters(text), sum(map(_count_letters, links)), len(links))


def _count_letters(text: str) -> int:
    """Characters except spaces and line breaks."""
    return len(text) - text.count(" ") - text.count("\n")


def _boilerplate_kind(
    sibling: MeasuredElement, is_sibling: bool, is_after: bool, unlinked: int
) -> str:
    """The kind of boilerplate of a block; empty if it is text."""
    node = sibling.node
    own = sibling.letters - sibling.linked_letters
    if node.tag not in BLOCKS or not sibling.letters or own > unlinked / 3:
        return ""
    if (
        is_sibling
        and sibling.links >= MIN_LINKS
        and sibling.linked_letters >= MIN_LINKED_SHARE * sibling.letters
    ):
        kind = "links beside the text"
    elif (
        is_sibling
        and is_after
        and sibling.letters <= MAX_FOOTER_LETTERS
        and COPYRIGHT.search(node.text)
    ):
        kind = "footer"
    else:
        kind = _kind_by_heading(node)
    return "" if kind and node.query_selector("h1, main, article") is not None else kind


def _kind_by_heading(node: Any) -> str:
    """The kind that an element's heading names."""
    first = node.first_element_child
    if first is None or first.tag not in HEADINGS:
        return ""
    heading = ANY_MARK.sub("", (first.text or "")[:100]).strip().lower()
    return match_line_rule(heading, ("heading",))[0] if 0 < len(heading) <= 60 else ""
