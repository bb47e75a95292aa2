"""Splits a text into sentences and code blocks that are slices of it.

A blank line, a list item, a heading or a change between prose and code ends a sentence; within a
paragraph `.`, `!`, `?` and their full-width forms do, unless they end an abbreviation, an initial
or a number. Nothing is rewritten: every sentence is `text[start:end]`.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

SentenceKind = Literal["prose", "heading", "code"]


class Sentence(NamedTuple):
    """A slice of a text, text[start:end], without white space at its ends."""

    start: int
    end: int
    kind: SentenceKind


LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
FENCE = re.compile(r"\s*(```|~~~)")
LIST_ITEM = re.compile(r"\s*(?:[-*•+·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
HASH_HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S")
UNDERLINE = re.compile(r"\s*([=\-~^*+#\"'`:.])\1{2,}\s*$")
BOUNDARY = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’)\]*_`]*(?=\s)|[。！？]+[」』”）]*")
SENTENCE_START = re.compile(r"\s+[\"'“‘(\[*_`<-]*(?:[A-Z0-9À-ÖØ-Þ]|[^\W\d_a-z])|\s*$|\s+`")
ABBREVIATIONS = frozenset(
    """
    e.g i.e etc vs cf viz al ca approx dr mr mrs ms prof st no nos vol fig figs eq sec ch p pp ed
    eds inc ltd co corp jr sr dept est u.s u.k resp incl excl min max jan feb mar apr jun jul aug
    sep sept oct nov dec
    """.split()
)
CODE_LINE = re.compile(
    r"""\s*(?:>>>|\.\.\.\s|\$\s|@\w|(?:import|from)\s+[\w.]+(?:\s+import\s.*|(?:\s+as\s+\w+)?,?.*)$
    |(?:def|class|async\s+def)\s+\w+.*[:(,]\s*$|(?:if|elif|else|for|while|try|except|finally|with)\b
    [^.]*:\s*(?:\#.*)?$|(?:return|raise|yield|assert|del|pass|break|continue|print)\b[^.!?]*[\w)\]}"']$
    |[\w.\[\]"', ]+\s(?:=|\+=|-=|:=|::=|==|\|)\s\S|[\w.]+\([^)]*\)\s*$|[{}()\[\]]+[,;]?\s*$
    |.*[;{}]\s*$|\#\s|<\/?\w+[^>]*>\s*$|[\w-]+:\s*[\w/"'.\[-]+$|(?:sudo|apt|pip|git|cd)\s+\S)""",
    re.VERBOSE,
)


def split_sentences(text: str, lines_end: bool = False) -> list[Sentence]:
    """Split a text into sentences, in order.

    lines_end: whether a line end outside code ends a sentence, as in the text of HTML.

    >>> text = "It works, e.g. Here. Next one.\\n\\n>>> f(1)\\n2"
    >>> [text[part.start : part.end] for part in split_sentences(text)]
    ['It works, e.g. Here.', 'Next one.', '>>> f(1)\\n2']
    """
    result: list[Sentence] = []
    for start, end, kind in text_blocks(text):
        last = result[-1] if result else None
        if kind == "prose" and not (last and _is_indented_example(text, last, start, end)):
            for first, stop in _split_lines(text, start, end) if lines_end else [(start, end)]:
                result += [Sentence(*part, "prose") for part in _split_prose(text, first, stop)]
        elif kind == "heading":
            result.append(Sentence(start, end, kind))
        elif last and last.kind == "code" and not text[last.end : start].strip():
            result[-1] = Sentence(last.start, end, "code")
        else:
            result.append(Sentence(start, end, "code"))
    return result


def _is_indented_example(text: str, last: Sentence, start: int, end: int) -> bool:
    """Whether a block is indented below a colon, like an example."""
    if text[last.end - 1] != ":" or LIST_ITEM.match(text, start):
        return False
    indent = start - (max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1)
    above = last.start - (max(text.rfind("\n", 0, last.start), text.rfind("\r", 0, last.start)) + 1)
    return indent >= 2 and indent > above and not text[start:end].endswith((".", "!", "?"))


def _split_lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the lines of a paragraph without surrounding white space."""
    for match in re.finditer(r"[^\s](?:[^\r\n]*[^\s])?", text[start:end]):
        yield start + match.start(), start + match.end()


class TextLine(NamedTuple):
    """A line of a text without its line end."""

    start: int
    end: int
    text: str
    is_code: bool
    """Whether it looks like code rather than prose."""


def split_text_lines(text: str) -> Iterator[TextLine]:
    """Yield the lines of a text, which end with \\n, \\r or \\r\\n."""
    for match in LINE.finditer(text):
        line = match.group().rstrip("\r\n")
        if match.group():
            start = match.start()
            yield TextLine(start, start + len(line), line, bool(CODE_LINE.match(line)))


def text_blocks(text: str) -> Iterator[Sentence]:
    """Yield paragraphs, list items, headings and code blocks, without surrounding white space."""
    group: list[TextLine] = []
    code = 0  # lines of the group that look like code
    fence = ""
    for line in split_text_lines(text):
        mark = FENCE.match(line.text)
        if mark and not fence:
            yield from _group_blocks(group)
            group, code, fence = [line], 0, mark[1]
        elif mark and mark[1] == fence:
            yield Sentence(group[0].start, line.end, "code")
            group, fence = [], ""
        elif fence:
            group.append(line)
        elif not line.text.strip():
            yield from _group_blocks(group)
            group, code = [], 0
        else:
            if group and LIST_ITEM.match(line.text) and code * 2 <= len(group):
                yield from _group_blocks(group)
                group, code = [], 0
            group.append(line)
            code += line.is_code
    yield from _group_blocks(group)


def _group_blocks(group: list[TextLine]) -> Iterator[Sentence]:
    """Yield the blocks of a group of lines without a blank line."""
    group = [line for line in group if line.text.strip()]
    while group and (HASH_HEADING.match(group[0].text) or _is_underlined(group)):
        size = 1 if HASH_HEADING.match(group[0].text) else 2
        yield _trim_lines(group[:size], "heading")
        group = group[size:]
    if not group:
        return
    size = _first_code_line(group)
    if size:
        yield _trim_lines(group[:size], "prose")
    if size < len(group):
        yield _trim_lines(group[size:], "code")


def _first_code_line(group: list[TextLine]) -> int:
    """Index of the first code line of a group: 0 if all of it is code, its length if none is.

    Code after prose starts below a colon or a full stop. More than half of the lines decide.
    """
    if group[0].text.lstrip().startswith((">>>", "$ ")):
        return 0
    code, first_code = 0, len(group)
    for i in reversed(range(len(group))):
        code += group[i].is_code
        begins = i == 0 or (group[i].is_code and group[i - 1].text.rstrip().endswith((":", ".")))
        if begins and code * 2 > len(group) - i:
            first_code = i
    return first_code


def _is_underlined(group: list[TextLine]) -> bool:
    """Whether the group starts with a title underlined with punctuation."""
    if len(group) < 2 or UNDERLINE.match(group[0].text):
        return False
    title, line = group[0].text.strip(), group[1].text.strip()
    return bool(UNDERLINE.match(line)) and len(title) <= 120 and len(line) >= len(title) * 0.6


def _trim_lines(group: list[TextLine], kind: SentenceKind) -> Sentence:
    """The slice from the first to the last visible character of lines."""
    first, last = group[0], group[-1]
    start = first.start + len(first.text) - len(first.text.lstrip())
    return Sentence(start, last.start + len(last.text.rstrip()), kind)


def is_label(line: str) -> bool:
    """Whether a line only names what follows it: a defined word, a signature, "Note:".

    >>> [is_label(line) for line in ("decorator", "os.remove(path, *, dir_fd=None)", "It ends.")]
    [True, True, False]
    """
    line = line.strip()
    if not line or "\n" in line or len(line) > 300:
        return False
    if line.endswith(":") or CALL.fullmatch(line):
        return True
    return len(line) <= 60 and len(line.split()) <= 6 and line[-1] not in ".!?,;。！？"


def label_lines(text: str) -> list[str]:
    """Lines that name the sentence below them, without the arguments of signatures.

    >>> label_lines("decorator\\n\\nA function that returns another function.")
    ['decorator']
    """
    shown = [line.text.strip() for line in split_text_lines(text) if line.text.strip()]
    return [
        line.partition("(")[0].rstrip(":")
        for line, below in zip(shown, shown[1:], strict=False)
        if is_label(line) and below[0].isupper() and len(below) > 30
    ]


CALL = re.compile(r"(?:(?:async|class|def|exception|@\w+)\s+)*[\w.]+\s?\([^()]*(?:\(\)[^()]*)*\)"
                  r"(?:\s*(?:->|→).*)?:?")  # fmt: skip


def _split_prose(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences of one paragraph."""
    for match in BOUNDARY.finditer(text, start, end):
        stop = match.end()
        if stop < end and not _ends_sentence(text, start, match):
            continue
        if text[start:stop].strip():
            yield start, stop
        while stop < end and text[stop].isspace():
            stop += 1
        start = stop
    if start < end:
        yield start, end


def _ends_sentence(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a punctuation mark within a paragraph ends a sentence."""
    if mark.group()[0] in "。！？":
        return True
    if not SENTENCE_START.match(text, mark.end()):
        return False
    if mark.group()[0] != ".":
        return True
    before = re.split(r"[^\w.]", text[max(start, mark.start() - 40) : mark.start()])[-1]
    if re.fullmatch(r"[A-Z]", before) or (start + len(before) == mark.start() and len(before) < 4):
        return False  # an initial, or the number of a list item
    return before.lower() not in ABBREVIATIONS
