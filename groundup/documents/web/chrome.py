"""Chrome: the template of a site around its pages' text, by names in the markup and by position.

Authors of templates name their elements: `nav`, `breadcrumbs`, `cookie-banner` (chrome.toml). An
element is removed if its tag, role, class or id is such a name, unless it holds too much of the
page, or the title. Of elements without such names the child with most of the unlinked words holds
the text, from the body down; its siblings are removed if they are mostly links, if their heading
says what they are (`Related stories`), or if they follow it and hold the copyright. A page that is
mostly links is a list of links on purpose and is kept. Knows nothing of bytes: it detaches elements
from a tree that resiliparse has parsed, and restores them between marks (links.py).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..patterns import compile_patterns, read_patterns
from .lines import match_line_rule
from .links import ANY_MARK, CHROME_END, CHROME_START, LINK_START, LINK_TEXT, MAX_LINK_SHARE

_FILE = Path(__file__).with_name("chrome.toml")
_NAMES, RE = read_patterns(_FILE), compile_patterns(_FILE)
COMPLETE_NAMES, CONTENT_WORDS, TEXT_WORDS, ROLES, IGNORED_TAGS, MARKED_INSIDE = (
    frozenset(_NAMES[name].split())
    for name in (
        "complete_names", "content_words", "text_words", "roles", "ignored_tags", "marked_inside",
    )
)  # fmt: skip
KIND_BY_WORD = {word: kind for kind, words in _NAMES["words"].items() for word in words.split()}
TAGS: dict[str, str] = _NAMES["tags"]
ROLE_KINDS: dict[str, str] = _NAMES["role_kinds"]
SELECTORS: dict[str, str] = _NAMES["selectors"]
MAX_SHARE_WITH_MAIN = 0.9
MAX_SELECTED = 5_000  # Elements named like chrome above which a page is hostile and kept as it is
MAX_NAME_VALUES = 200  # Distinct classes and ids of chrome that are searched
MAX_TEXT_FACTOR = 20  # Maximum of text that is measured, as a multiple of the page's text
MAX_MEASURED_ELEMENTS = 500
"""Maximum of elements that are measured; a page with more named `nav` is hostile."""


class _DetachedElement(NamedTuple):
    node: Any
    parent: Any
    next: Any
    kind: str


def detach_chrome(tree: Any, page: str, largest_share: float) -> list[_DetachedElement]:
    """Detach the chrome of a page's tree; returns the detached elements in order.

    An element that holds more than `largest_share` of the body's text, a <main>, an <article> or
    the only <h1> is kept, whatever its name. If those are elsewhere in the page, the limit is .9.
    """
    body, cuts = tree.body, []
    if body is None:
        return cuts
    for node in _select_elements(body, SELECTORS["hidden"]):
        detach(node, "hidden", cuts)
    length = len(body.text or "")
    if not length:
        return cuts
    for node in _select_elements(body, SELECTORS["heading_link"]):
        detach(node, "heading link", cuts)
    headings = body.query_selector_all("h1")
    title = headings[0] if len(headings) == 1 else None
    if title is not None or body.query_selector(SELECTORS["main"]) is not None:
        largest_share = max(largest_share, MAX_SHARE_WITH_MAIN)
    budget = MAX_TEXT_FACTOR * (length + 1000)
    named = [*_select_elements(body, ", ".join(TAGS)), *_named_elements(body, page)]
    for node in named[:MAX_MEASURED_ELEMENTS]:
        size = len(node.text or "")
        budget -= size
        if budget < 0:
            break  # hostile: nested elements that are all named `nav`
        if size <= largest_share * length and not _is_note(node) and not _holds_main(node, title):
            detach(node, _element_kind(node), cuts)
    for node in _select_elements(body, SELECTORS["advertisement"]):
        detach(node, "advertisement", cuts)
    for node, kind in find_side_elements(body):
        detach(node, kind, cuts)
    return cuts


def restore_chrome(tree: Any, cuts: Sequence[_DetachedElement]) -> None:
    """Restore the detached elements, each between two marks that the extracted text will show."""
    for node, parent, next, kind in reversed(cuts):
        first, last = tree.create_text_node(CHROME_START[kind]), tree.create_text_node(CHROME_END)
        _insert_node(parent, node, next)
        if node.tag in MARKED_INSIDE:
            _insert_node(node, first, node.first_child)
            node.append_child(last)
        else:
            _insert_node(parent, first, node)
            _insert_node(parent, last, next)


def _insert_node(parent: Any, node: Any, next: Any) -> None:
    if next is None:
        parent.append_child(node)
    else:
        parent.insert_before(node, next)


def _named_elements(body: Any, page: str) -> list[Any]:
    """Elements whose class, id or role names chrome.

    The few dozen distinct values of a page are classified once and searched together.
    """
    values = {(m[1].lower(), m[2] or m[3] or m[4] or "") for m in RE.name_attribute.finditer(page)}
    selectors = []
    for name, value in sorted(values):
        is_chrome = value.lower() in ROLES if name == "role" else _kind_by_names(value)
        if len(value) < 300 and is_chrome:
            quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ")
            selectors.append(f'[{name}="{quoted}"]')
    nodes: list[Any] = []
    for at in range(0, min(len(selectors), MAX_NAME_VALUES), 50):
        nodes += _select_elements(body, ", ".join(selectors[at : at + 50]))
    return [node for node in nodes if node.tag not in IGNORED_TAGS]


def _select_elements(body: Any, selector: str) -> list[Any]:
    """Elements that match a selector; none if they are so many that the page is hostile."""
    nodes = body.query_selector_all(selector)
    # A slice: indexing a single item makes resiliparse traverse all of them.
    return list(nodes[:]) if len(nodes) <= MAX_SELECTED else []


def _is_note(node: Any) -> bool:
    named = f"{node.getattr('class') or ''} {node.getattr('role') or ''}"
    return bool(TEXT_WORDS.intersection(word.lower() for word in RE.word.findall(named[:300])))


@lru_cache(maxsize=20_000)
def _kind_by_names(names: str) -> str:
    """The kind of chrome that classes or ids name; empty if none."""
    words = [word.lower() for word in RE.word.findall(names)]
    if not CONTENT_WORDS.isdisjoint(words):
        return ""
    parts = [word for word in words if word not in COMPLETE_NAMES]
    kinds = map(KIND_BY_WORD.get, [*parts, *names.lower().split()])
    return next(filter(None, kinds), "")


def _element_kind(node: Any) -> str:
    if node.tag in TAGS:
        return TAGS[node.tag]
    named = (_kind_by_names((node.getattr(name) or "")[:300]) for name in ("class", "id"))
    role = ROLE_KINDS.get((node.getattr("role") or "").lower(), "navigation")
    return next((kind for kind in named if kind), role)


def _holds_main(node: Any, single_heading: Any) -> bool:
    if single_heading is not None and node.query_selector("h1") is not None:
        return True
    return node.query_selector(SELECTORS["main"]) is not None


def detach(node: Any, kind: str, cuts: list[_DetachedElement]) -> None:
    """Detach an element from its tree, if it is in one; the tree still owns its memory."""
    parent = node.parent
    if parent is not None:
        cuts.append(_DetachedElement(node, parent, node.next, kind))
        parent.remove_child(node)


BLOCKS = frozenset("div section ul ol table center td".split())
HEADINGS = frozenset("h2 h3 h4 h5 h6 b strong p div span".split())
MAX_TREE_DEPTH = 20
MAX_CHILDREN = 400  # Children of an element that are inspected; a page with more is kept as it is
MIN_LINKED_SHARE = 0.5
"""Share of a block's letters in links from which it is boilerplate. Source: generated shells."""
MIN_LINKS = 4
MAX_FOOTER_LETTERS = 1_000  # Letters up to which a block with the copyright is a footer


class _MeasuredElement(NamedTuple):
    node: Any
    letters: int
    linked_letters: int
    links: int


def find_side_elements(body: Any) -> Iterator[tuple[Any, str]]:
    """Yield the boilerplate blocks around the text and their kinds, outermost first."""
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
                    yield sibling.node, kind
        if not holds_text:
            return
        node = blocks[most].node


def _child_elements(node: Any) -> list[Any]:
    elements, child = [], node.first_element_child
    while child is not None:
        elements.append(child)
        if len(elements) > MAX_CHILDREN:
            return []
        child = child.next_element_sibling
    return elements


def _measure_element(node: Any) -> _MeasuredElement:
    text = node.text or ""
    links = LINK_TEXT.findall(text) if LINK_START in text else []
    return _MeasuredElement(node, _count_letters(text), sum(map(_count_letters, links)), len(links))


def _count_letters(text: str) -> int:
    return len(text) - text.count(" ") - text.count("\n")


def _boilerplate_kind(
    sibling: _MeasuredElement, is_sibling: bool, is_after: bool, unlinked: int
) -> str:
    node = sibling.node
    own = sibling.letters - sibling.linked_letters
    if node.tag not in BLOCKS or not sibling.letters or own > unlinked / 3:
        return ""
    is_linked = sibling.linked_letters >= MIN_LINKED_SHARE * sibling.letters
    is_footer = is_sibling and is_after and sibling.letters <= MAX_FOOTER_LETTERS
    if is_sibling and is_linked and sibling.links >= MIN_LINKS:
        kind = "links beside the text"
    elif is_footer and RE.copyright.search(node.text):
        kind = "footer"
    else:
        first = node.first_element_child
        heading = first.text or "" if first is not None and first.tag in HEADINGS else ""
        heading = ANY_MARK.sub("", heading[:100]).strip().lower()
        kind = match_line_rule(heading, ("heading",))[0] if 0 < len(heading) <= 60 else ""
    return "" if kind and node.query_selector("h1, main, article") is not None else kind
