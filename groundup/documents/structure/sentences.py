"""Splits a text into sentences, list items, titles and code blocks, which are slices of it.

A blank line, a list item, a heading or a change between prose and code ends a sentence; within a
paragraph `.`, `!`, `?` and their full-width forms do, unless they end an abbreviation, an initial
or a number. Nothing is rewritten: every sentence is `text[start:end]`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from ..code.language import looks_like_code
from ..patterns import read_patterns

_LISTS = read_patterns(Path(__file__).with_name("sentences.toml"))
ABBREVIATIONS, OPENERS, MONTHS = map(
    frozenset, (_LISTS["abbreviations"], _LISTS["openers"], _LISTS["months"])
)
SentenceKind = Literal["prose", "heading", "code", "row"]


class Sentence(NamedTuple):
    """A slice of a text, text[start:end], without white space at its ends."""

    start: int
    end: int
    kind: SentenceKind


VISIBLE, VISIBLE_LINE = re.compile(r"\S"), re.compile(r"\S(?:[^\r\n]*\S)?")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
FENCE = re.compile(r"\s*(```|~~~)")
LIST_ITEM = re.compile(r"\s*(?:[-*•+·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
NUMBERED = re.compile(r"\s*\(?(\d{1,3})[.)]\s+\S")
ENTRY = re.compile(
    r"\s*:?[`*]*-{1,2}[A-Za-z][\w-]*[`*]*(?:[ ,:=\[|\t]|$)"
    r"|\s*:?[`*_]{0,3}(?=[\w./~-]*(?:[._/]|[a-z][A-Z]))(?:~?/\.?)?[^\W\d][\w./-]*\w[`*_]{0,3}"
    r"(?:(?: ?\([^()\n]{0,30}\)|, -\w)?(?:(?:::?| +[–—-]| )\s|\t)\s*(?:\S+\s+){2}\S|$)"
)
"""A line that begins with an option, or a name of code and what it is, begins an entry."""
HASH_HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S")
UNDERLINE = re.compile(r"\s*([=\-~^*+#\"'`:.])\1{2,}\s*$")
BOUNDARY = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’)\]*_`]*(?=\s)|[。！？]+[」』”）]*")
SENTENCE_START = re.compile(r"\s+[\"'“‘(\[*_`<-]*(?:[A-Z0-9À-ÖØ-Þ]|[^\W\d_a-z])|\s*$|\s+`")


def split_sentences(text: str, lines_end: bool = False, hash_titles: bool = True) -> list[Sentence]:
    """Split a text into sentences, in order.

    lines_end    whether a line end outside code ends a sentence, as in the text of HTML
    hash_titles  whether a line that starts with # is a title; in most code it is a comment

    >>> text = "It works, e.g. Here. Next one.\\n\\n>>> f(1)\\n2"
    >>> [text[part.start : part.end] for part in split_sentences(text)]
    ['It works, e.g. Here.', 'Next one.', '>>> f(1)\\n2']
    """
    result: list[Sentence] = []
    for start, end, kind in text_blocks(text, hash_titles):
        last = result[-1] if result else None
        if kind == "prose":
            lines = (line.span() for line in VISIBLE_LINE.finditer(text, start, end))
            for first, stop in lines if lines_end else [(start, end)]:
                result += [Sentence(*part, "prose") for part in _split_prose(text, first, stop)]
        elif kind == "heading":
            result.append(Sentence(start, end, kind))
        elif (
            last and last.kind == "code" and not text[last.end : start].strip()
            and not ENTRY.match(text, start)
        ):  # fmt: skip
            result[-1] = Sentence(last.start, end, "code")
        else:
            result.append(Sentence(start, end, "code"))
    return result


def split_long(text: str, units: list[Sentence], limit: int) -> list[Sentence]:
    """Units of at most so many characters: longer ones end with their lines or words."""
    result: list[Sentence] = []
    for unit in units:
        start = unit.start
        while unit.end - start > limit:
            cuts = (text.rfind(mark, start + 1, start + limit) for mark in "\n ")
            cut = next((cut for cut in cuts if cut > start), start + limit)
            result.append(Sentence(start, cut, unit.kind))
            start = cut + len(text[cut:]) - len(text[cut:].lstrip())
        result.append(Sentence(start, unit.end, unit.kind))
    return result


class TextLine(NamedTuple):
    """A line of a text without its line end."""

    start: int
    end: int
    text: str
    is_code: bool
    """Whether it looks like code rather than prose."""


def split_text_lines(text: str) -> Iterator[TextLine]:
    """Yield the lines of a text, which end with \\n, \\r or \\r\\n."""
    start = 0
    for found in LINE.findall(text)[:-1]:  # the last is empty
        line = found.rstrip("\r\n")
        yield TextLine(start, start + len(line), line, looks_like_code(line))
        start += len(found)


def text_blocks(text: str, hash_titles: bool = True) -> Iterator[Sentence]:
    """Yield paragraphs, list items, headings and code blocks, without surrounding white space."""
    group: list[TextLine] = []
    code = 0  # lines of the group that look like code
    fence = ""
    for line in split_text_lines(text):
        mark = FENCE.match(line.text)
        if mark and not fence and not (mark[1] == "~~~" and _is_underlined([*group[-1:], line])):
            yield from _group_blocks(group, hash_titles)
            group, code, fence = [line], 0, mark[1]
        elif mark and mark[1] == fence:
            yield Sentence(group[0].start, line.end, "code")
            group, fence = [], ""
        elif fence:
            group.append(line)
        elif not line.text.strip():
            yield from _group_blocks(group, hash_titles)
            group, code = [], 0
        else:
            is_option = ENTRY.match(line.text) and group and not group[-1].text.endswith("\\")
            is_item = group and _begins_item(line.text, group[0].text) and code * 2 <= len(group)
            if is_option or is_item:
                yield from _group_blocks(group, hash_titles)
                group, code = [], 0
            group.append(line)
            code += line.is_code
    yield from _group_blocks(group, hash_titles)


def _begins_item(line: str, first: str) -> bool:
    item = LIST_ITEM.match(line)
    number = item and NUMBERED.match(line)  # perhaps the end of a sentence: "to port", "23. It"
    return bool(item) and (not number or number[1] == "1" or bool(NUMBERED.match(first)))


def _group_blocks(group: list[TextLine], hash_titles: bool) -> Iterator[Sentence]:
    group = [line for line in group if line.text.strip()]
    while group:
        is_hashed = hash_titles and bool(HASH_HEADING.match(group[0].text))
        if not is_hashed and not _is_underlined(group):
            break
        size = 1 if is_hashed else 2
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
    if len(group) < 2 or UNDERLINE.match(group[0].text):
        return False
    title, line = group[0].text.strip(), group[1].text.strip()
    return bool(UNDERLINE.match(line)) and len(title) <= 120 and len(line) >= len(title) * 0.6


def _trim_lines(group: list[TextLine], kind: SentenceKind) -> Sentence:
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
    shown = [line for line in map(str.strip, re.split(r"[\r\n]", text)) if line]
    return [
        line.partition("(")[0].rstrip(":")
        for line, below in zip(shown, shown[1:], strict=False)
        if is_label(line) and below[0].isupper() and len(below) > 30
    ]


CALL = re.compile(r"(?:(?:async|class|def|exception|@\w+)\s+)*[\w.]+\s?\([^()]*(?:\(\)[^()]*)*\)"
                  r"(?:\s*(?:->|→).*)?:?")  # fmt: skip


def _split_prose(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
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
    if mark.group()[0] in "。！？":
        return True
    if not SENTENCE_START.match(text, mark.end()):
        return False
    if mark.group()[0] != ".":
        return True
    before = re.split(r"[^\w.]", text[max(start, mark.start() - 40) : mark.start()])[-1]
    if start + len(before) == mark.start() and len(before) < 4:
        return False  # the number of a list item
    following = re.match(r"\s+(\w+)", text[mark.end() : mark.end() + 20])
    if before.isdigit() and following and following[1].lower() in MONTHS:
        return False
    if re.fullmatch(r"[A-Z]", before):  # an initial: "J. Berg", but not "type S. The", "9 °C. Ice"
        is_unit = text[: mark.start() - 1].endswith("°")
        return is_unit or following is not None and following[1].lower() in OPENERS
    return before.lower() not in ABBREVIATIONS
