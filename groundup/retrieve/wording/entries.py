"""Entries of lists of options or definitions, and cells of rows, with what heads each.

What stands under one name says nothing of another. The layouts are those of manual pages, --help,
Markdown, reStructuredText and HTML: an option, a marked name, a name of code with a colon or a
second column, a short line with its text indented below. A deeper line that looks so is part of the
entry, unless it stands below a title of entries.
"""

import re
from collections.abc import Sequence

from groundup.documents import Sentence, is_label, named_cells

from .language import FALLBACK, stem_words, stop_words
from .question import code_names

OPTION = re.compile(r"(?:[-*•+·]\s+|:)?((?:[`*]*--?[A-Za-z][^\s,|]*(?:,? | *\| *| or |,|$))+)")
ITEM_NAME = re.compile(r"(?:[-*•+·]|\d{1,3}[.)])\s+[`*_]+([\w./$-]+(?: [\w./$-]+){0,2})[`*_]+")
CODE_NAME = re.compile(
    r":?[`*_]{0,3}([\w./$~-]*\w)[`*_]{0,3}(?: ?\([^()\n]{0,30}\)|, -\w)?"
    r"(?:::?\s| +[–—-] | {2,}\S|\t)|([\w.$~-]*[._/][\w./-]*\w) (?=[A-Z])"
)
TERM = re.compile(r"\W*[^\W\d][\w-]*\W*|[^\W\d_a-z][\w'’-]*(?: [\w'’-]+){1,3}")
"""How an option begins, a named item, a name of code and what it is; a word, or a short title."""
BLOCK_NAME = re.compile(
    r"""(?m)^(?:[{\s]|#[^\n]*\n)*\[*["']?([^\W\d][^\]\n"':]*)["']?[ \t]*[\]:]+[ \t]*[{\[]?[ \t]*$"""
)
"""Of a block of a file of settings, perhaps behind comments."""
LISTED = re.compile(
    r"""(?m)^[ \t]*(?=-[ \t]+["']?[^\W\d][\w .-]*["']?:[ \t]+["']?(\S[^\n"'#]{0,60}))"""
)
"""An item of a list in YAML and the value of its first key, which names it: `- name: Kestrel`."""
BODY = re.compile(r"[^\n]*[^\s.?!:](?: {2,}|\t)\S")  # an entry in two columns
BLANK_LINE = re.compile(r"\n[ \t]*\n")
CELL = re.compile(r"[|,;\t\n]")


def entry_heads(text: str, at: int, units: Sequence[Sentence]) -> list[tuple[str, ...]]:
    """What heads the entry of each unit of a passage: names, or nothing outside entries.

    at  start of the passage in `text`, that of its document
    """
    entries, heads, margin, is_head = list[tuple[str, ...]](), (), 0, False
    for unit in units:
        start, line = at + unit.start, text[at + unit.start : at + unit.end]
        if unit.kind == "row":
            entries.append((CELL.split(line.lstrip("| "), 1)[0],))
            continue
        column = start - text.rfind("\n", 0, start) - 1
        head = _entry_head(line, column)
        # A deeper line begins an entry of its own below a title of entries, which is at the margin.
        is_inner = not (margin or heads and OPTION.match(heads[0])) and _has_body(line, column)
        if unit.kind == "heading":
            heads, is_head = (), False
        elif head and (column <= margin or is_head or not heads or is_inner):
            heads = (*heads, head) if is_head and column == margin else (head,)
            margin = column
        is_head = bool(head) and "\n" not in line and is_label(line)
        entries.append(heads)
    return entries


def block_heads(text: str, at: int, units: Sequence[Sentence]) -> list[tuple[str, ...]]:
    """What heads the block of each unit of a file of settings, as `entry_heads`.

    A unit that opens none continues the block before; in YAML a line at the margin ends it, and an
    item of a list is an entry of its own in the block.
    """
    heads, entry, items = list[tuple[str, ...]](), (), dict[int, str]()
    for unit in units:
        line = text[at + unit.start : at + unit.end]
        is_inside = line[:1] == "[" or at + unit.start > text.rfind("\n", 0, at + unit.start) + 1
        if block := BLOCK_NAME.match(line):
            entry, items = ("[" * (line[0] == "[") + block[1],), {}
        elif not is_inside and not (entry and entry[0][0] == "["):
            entry, items = (), {}
        if item := LISTED.match(line):
            column = at + unit.start - text.rfind("\n", 0, at + unit.start)
            items = {c: name for c, name in items.items() if c < column} | {column: item[1].strip()}
        heads.append((*entry, *items.values()))
    return heads


def _entry_head(text: str, column: int) -> str:
    """What heads an entry that begins so: options, a defined word, the name of an item; or ""."""
    line, _, rest = text.partition("\n")
    if match := OPTION.match(line) or ITEM_NAME.match(line):
        return match[1]
    name = max(match.groups("")) if (match := CODE_NAME.match(line)) else ""
    if name[:1] in ("/", "~") or any(code_names(name)):
        return name
    body = rest.lstrip(" \t")
    if rest and (len(rest) - len(body) > column or body[:1] == ":"):
        inner = _entry_head(body, len(rest) - len(body)) if _has_body(body, column) else ""
        return inner or (line if is_label(line) and len(line.split()) <= 4 else "")
    if not is_label(text) or line.split()[-1] in stop_words()[FALLBACK]:  # "If the", cut off
        return ""
    return line if TERM.fullmatch(line) or any(code_names(line)) else ""


def _has_body(text: str, column: int) -> bool:
    """Whether what an entry says stands in a second column, or indented below its head."""
    rest = text.partition("\n")[2]
    return len(rest) - len(rest.lstrip(" \t")) > column or BODY.match(text) is not None


def leads_of_items(
    text: str, units: Sequence[Sentence], entries: Sequence[tuple[str, ...]], items: Sequence[bool]
) -> list[Sentence | None]:
    """For each unit, what stands before the list that it is in.

    That is the sentence above, if it ends with a colon or the items have names, or the title.
    """
    leads, lead, is_list = list[Sentence | None](), None, len({*entries} - {()}) > 1
    for number, unit in enumerate(units):
        before = units[number - 1] if number else None
        if before and before.kind == "heading":
            lead = before if items[number] else None
        elif before and BLANK_LINE.search(text, before.end, unit.start):
            begins = is_list and entries[number] and not entries[number - 1]
            is_lead = text[before.end - 1] == ":" or begins
            lead = before if before.kind == "prose" and is_lead else None
        leads.append(lead)
    return leads


def numbers_of_cells(head: str, row: str, language: str) -> set[tuple[str, str]]:
    """Words that head a column with the number in it; "" with that of the first column."""
    numbers = set[tuple[str, str]]()
    for at, (name, cell) in enumerate(named_cells(head, row)):
        stems = stem_words(cell, language)
        if stems and stems[0][0].isdigit():
            words = (*stem_words(name, language), *([""] if at == 0 else []))
            numbers |= {(word, stems[0]) for word in words}
    return numbers
