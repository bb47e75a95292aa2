"""Plain text of a paragraph without markup, with the position of every character.

Questions should read naturally and references must be comparable with answers, so emphasis, code
marks, roles and links are removed and white space becomes single spaces. Because every remaining
character has its position, a match in the plain text is a slice of the document.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SPACE = r"(?P<space>\s+)"
CODE = r"(?<!\w)``(?P<literal>[^`]+)``|(?<![\w`])`(?P<code>[^`\n]+)`_{0,2}"
MARKED = r"[^*\s](?:[^*\n]*[^*\s])?"
STRONG = rf"(?<![\w*])(?:\*\*(?P<strong>{MARKED})\*\*|\*(?P<emphasis>{MARKED})\*)(?![\w*])"
ROLE = r":[a-z]+(?::[a-z]+)?:`[!~]*(?P<role>[^`<]*[^`<\s])(?:\s*<[^`>]*>)?`"
LINK = r"!?\[(?P<link>[^\[\]]+)\](?:\([^()\s]*(?:\s\"[^\"]*\")?\)|\[[^\[\]]*\])"
LINKGIT = r"linkgit:(?P<git>[\w-]+)\[\d\]"
STRUCTURED = re.compile("|".join((SPACE, ROLE, CODE, STRONG, LINKGIT)))
MARKDOWN = re.compile("|".join((SPACE, CODE, STRONG, LINK)))
MARKUP = {
    "text": STRUCTURED,
    "rst": STRUCTURED,
    "python": STRUCTURED,
    "markdown": MARKDOWN,
    "notebook": MARKDOWN,
}
RENDERED = re.compile(SPACE)
"""For all other kinds, such as html and pdf, whose readers leave no markup."""
SENTENCE_END = re.compile(r"(?:(?<=[.?])|(?<=\w!))[)\"”’]?\s+(?=[A-Z“\"‘(\[*`-]|[a-z]\w*[(_.]\w*)")
ABBREVIATION = re.compile(
    r"(?:\b(?i:e\.g|i\.e|etc|vs|cf|approx|resp|incl|no|fig|sec|dr|mr|mrs|st|al|a\.k\.a)|(?<!\w)[A-Z])\.$"
)


class PlainText(NamedTuple):
    """A text without markup."""

    text: str
    positions: tuple[int, ...]
    """Position in the document of each character, and one past the last."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The document's slice of `text[start:end]`, which must not be empty."""
        return self.positions[start], self.positions[end - 1] + 1

    def slice_text(self, start: int, end: int) -> "PlainText":
        """The slice `text[start:end]` without surrounding white space."""
        piece = self.text[start:end]
        start += len(piece) - len(piece.lstrip())
        end = max(start, end - (len(piece) - len(piece.rstrip())))
        return PlainText(self.text[start:end], self.positions[start : end + 1])

    def sentences(self) -> "Iterator[PlainText]":
        """Yield the sentences in order.

        >>> [one.text for one in strip_markup("Use a, e.g. b. Then stop.", kind="text").sentences()]
        ['Use a, e.g. b.', 'Then stop.']
        """
        start = 0
        for end in SENTENCE_END.finditer(self.text):
            if not ABBREVIATION.search(self.text, start, end.start()):
                yield self.slice_text(start, end.start())
                start = end.end()
        if start < len(self.text):
            yield self.slice_text(start, len(self.text))


def strip_markup(text: str, start: int = 0, end: int | None = None, *, kind: str) -> PlainText:
    """Remove the markup of `text[start:end]` in a document of this kind.

    >>> read = strip_markup("See :func:`~os.stat` and\\n  **two** marks.", kind="text")
    >>> read.text, read.span(4, 11)
    ('See os.stat and two marks.', (12, 19))
    """
    end = len(text) if end is None else end
    letters: list[str] = []
    places: list[int] = []
    at = start
    for mark in MARKUP.get(kind, RENDERED).finditer(text, start, end):
        letters += text[at : mark.start()]
        places += range(at, mark.start())
        at = mark.end()
        name = mark.lastgroup or "space"
        if name == "space":
            letters.append(" ")
            places.append(mark.start())
        else:
            inner = re.sub(r"\s", " ", mark[name])
            letters += inner
            places += range(mark.start(name), mark.end(name))
    letters += text[at:end]
    places += range(at, end)
    whole = PlainText("".join(letters), (*places, end))
    return whole.slice_text(0, len(whole.text))
