"""A passage taken apart: its sentences, titles, rows and blocks, what heads each, and their terms.

What heads a row or an item of a list, and the titles and the entry that a sentence stands below,
say what it is of. Each is found once, for a question and all its parts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from groundup.core import Hit, Passage
from groundup.documents import (
    ITEMS,
    LIST_ITEM,
    ROWS,
    TABLES,
    Record,
    Sentence,
    is_label,
    named_cells,
    rows_of_tables,
    split_long,
    split_sentences,
)

from ..wording.entries import (
    BLANK_LINE,
    LISTED,
    block_heads,
    entry_heads,
    leads_of_items,
    numbers_of_cells,
)
from ..wording.language import FALLBACK, stem_words, stop_words, word_pattern
from ..wording.question import (
    Question,
    TextTerms,
    WeightedQuestion,
    code_names,
    term_credit,
    text_terms,
)
from .structure import LINE_KINDS

SETTINGS = (".ini", ".cfg", ".toml", ".yaml", ".yml", ".json")
SETTING = re.compile(r"""(?m)^[ \t]*["']?([^\W\d][\w .-]*)["']?[ \t]*[:=](?!//)[ \t]*(\S.*)$""")
BLOCK = re.compile(r"(?m)^[ \t]*(?:\[+[^\W\d][^\]\n]*\]+|[^\s#][^\n]*[:{])[ \t]*$")
"""The line that begins a block of a file of settings: `[cache]`, `cache:`, `"cache": {`."""
DEDENT = re.compile(r"(?m)^[ \t]+\S.*\n+([^\s#\]})].*)")
"""A line at the margin below an indented one."""
COMMENT = re.compile(r"#[^\n]*(?:[.;:]|\n[ \t]*[^\s#][^\n]*)(?:\n|\Z)")
"""A line of a plain text with "#" that ends as a sentence, or stands right above another line."""
QUESTION_LINE = re.compile(r"(?m)^[^\n]*[?？]\W{0,4}$")
SIGNATURE = re.compile(
    r"(?:@|\$ |>>> )?(?:(?:async |class |def |exception )\s*)*([\w.\-]+)\s*(?:\(|$)"
)
QUOTE_CHARACTERS = 600
"""Longest quote."""
DEFINITION_BONUS = 0.2
"""For "The guild is …", and an entry of a glossary, to "What is the guild?"."""
DEFINES = re.compile(
    r"(?i)(.{2,60}?)(?:\s(?:is|are|means|ist|sind|bedeutet|est|sont|es|son|è|sono)\s|\n(?::\s|\s{2,}))"
)


@dataclass
class PassageText:
    """A passage taken apart once, for a question and each of its parts."""

    hit: Hit
    document: Record
    language: str = FALLBACK

    @property
    def passage(self) -> Passage:
        """The passage itself."""
        return self.hit.passage

    @cached_property
    def units(self) -> list[Sentence]:
        """Its sentences, titles and blocks of code."""
        passage, document = self.passage, self.document
        if document.metadata.get(ROWS):
            return self._rows
        is_code = document.kind in ("code", "python")
        titles = self._titles if document.kind == "text" else []
        inner = {at for title in titles for at in title[:2] if at > 0}
        inner |= {at for at in self._item_starts if 0 < at < len(passage.text)}
        if self.is_settings:
            inner |= {block.start() for block in BLOCK.finditer(passage.text)}
            inner |= {line.start(1) for line in DEDENT.finditer(passage.text)}
            inner |= {item.end() for item in LISTED.finditer(passage.text)}
        cuts = {0, len(passage.text), *inner}
        sentences = [
            Sentence(first + start, first + end, kind)
            for first, last in pairwise(sorted(cuts))
            for start, end, kind in self._sentences(passage.text[first:last], is_code)
        ]
        sentences = split_long(passage.text, sentences, QUOTE_CHARACTERS // 2)
        prose = (each for each in sentences if not _overlaps(each[:2], self._rows))
        units = sorted([*self._rows, *prose])
        for at, (start, end, kind) in enumerate(units if document.kind != "python" else ()):
            is_question = kind == "prose" and QUESTION_LINE.match(passage.text, start, end + 1)
            if end - start < 200 and (is_question or _overlaps((start, end), self._titles)):
                units[at] = Sentence(start, end, "heading")
            elif document.kind == "text" and COMMENT.match(passage.text, start):
                units[at] = Sentence(start, end, "prose")
        return units

    def _sentences(self, text: str, is_code: bool) -> list[Sentence]:
        """The sentences of a text; a block of settings stays whole, but for comments."""
        lines = text.splitlines()
        is_comment = 4 * sum(line.lstrip()[:1] in ("#", ";") for line in lines) > len(lines)
        if not self.is_settings or is_comment:
            return split_sentences(text, self.document.kind in LINE_KINDS, not is_code)
        start = len(text) - len(text.lstrip())
        return [Sentence(start, len(text.rstrip()), "code")] if text.strip() else []

    @cached_property
    def is_settings(self) -> bool:
        """Whether it is of a file of settings, whose blocks are entries."""
        return self.document.path.lower().endswith(SETTINGS)

    @cached_property
    def _titles(self) -> list[tuple[int, int, int]]:
        at, end = self.passage.start, self.passage.end
        titles = (each for each in self.document.headings if at < each.end and each.start < end)
        return [(each.start - at, each.end - at, each.level) for each in titles]

    @cached_property
    def sections(self) -> list[tuple[tuple[int, int], ...]]:
        """For each unit, level and number of the titles in the passage that it stands below."""
        sections, path = list[tuple[tuple[int, int], ...]](), ()
        for number, unit in enumerate(self.units):
            if unit.kind == "heading":
                levels = (each[2] for each in self._titles if _overlaps(unit[:2], [each]))
                level = min(levels, default=9)
                path = (*(title for title in path if title[0] < level), (level, number))
            sections.append(path)
        return sections

    @cached_property
    def _rows(self) -> list[Sentence]:
        at, end = self.passage.start, self.passage.end
        rows = rows_of_tables(self.document, at, end)
        return [Sentence(first - at, last - at, "row") for first, last in rows]

    @cached_property
    def texts(self) -> list[str]:
        """The text of each unit."""
        return [self.passage.text[unit.start : unit.end] for unit in self.units]

    @cached_property
    def _item_starts(self) -> set[int]:
        return {at - self.passage.start for at in self.document.metadata.get(ITEMS, ())}

    @cached_property
    def items(self) -> list[bool]:
        """Whether each unit begins an item of a list: by its mark, or as the markup has it."""
        is_unmarked = (u.start in self._item_starts and u.kind != "heading" for u in self.units)
        return [bool(LIST_ITEM.match(text)) or each
                for text, each in zip(self.texts, is_unmarked, strict=True)]  # fmt: skip

    @cached_property
    def terms(self) -> list[TextTerms]:
        """Stems and names of each unit; a number in a row is that of the head of its column."""
        found = [text_terms(text, self.language, self.signed(text)) for text in self.texts]
        for at, (unit, head) in enumerate(zip(self.units, self.heads, strict=True)):
            if unit.kind == "row" and head is not None:
                row = (self.document.text[slice(*head)], self.texts[at])
                numbers = found[at].numbered | numbers_of_cells(*row, self.language)
                found[at] = found[at]._replace(numbered=numbers)
        return found

    @cached_property
    def full_names(self) -> str:
        """The titles as a name of code, also with the file's: os.path.txt is of posixpath."""
        titles, file = self.passage.headings, PurePath(self.passage.path).stem
        return " ".join(".".join((first, *titles[1:])) for first in (*titles[:1], file))

    def signed(self, line: str) -> str:
        """Its full names if a line begins with its signature: `dumps(obj)`."""
        signature = SIGNATURE.match(line)
        is_own = signature and self.passage.headings[-1:] == (signature[1],)
        return self.full_names if is_own and self.passage.headings[1:] else ""

    @cached_property
    def outer(self) -> TextTerms:
        """Stems and names of the titles and the path."""
        titles = " ".join((*self.passage.headings, self.passage.path))
        return text_terms(titles, self.language, self.full_names)

    @cached_property
    def heads(self) -> list[tuple[int, int] | None]:
        """For each row of a table or item of a list, the range of the document that heads it."""
        start, text = self.passage.start, self.passage.text
        leads = leads_of_items(text, self.units, self._entries, self.items)
        places = (start + unit.start for unit in self.units)
        rows = (next((h for h, end in self.tables if h[1] <= at < end), None) for at in places)
        return [
            row or lead and (start + lead.start, start + lead.end)
            for row, lead in zip(rows, leads, strict=True)
        ]

    def cells(self, at: int) -> list[tuple[str, str]]:
        """The cells of a row by the names of their columns; [] of what has no head."""
        head = self.heads[at]
        return named_cells(self.document.text[slice(*head)], self.texts[at]) if head else []

    def credits_of(self, at: int, wanted: WeightedQuestion) -> list[float]:
        """The credit of each term for a unit; "from Oslo" must be in a row's column From."""
        credits = wanted.credits_for(self.terms[at])
        if self.units[at].kind != "row" or not any(term.role for term in wanted.question.terms):
            return credits
        cells = self.cells(at)
        columns = {name.strip().lower(): text_terms(cell, self.language) for name, cell in cells}
        return [
            term_credit(term, columns[term.role]) if term.role in columns else credit
            for term, credit in zip(wanted.question.terms, credits, strict=True)
        ]

    def first_cell(self, at: int) -> str:
        """What a row is of: its first cell with content, and the name of that column."""
        found = (f"{name} {cell}" for name, cell in self.cells(at) if cell.strip())
        return next(found, self.texts[at].partition("\t")[0])

    def has_quantity(self, at: int, question: Question) -> bool:
        """Whether a unit has what is asked for, such as a length; a number has its column's name.

        "310 kg weight" of weight_kg; a bare number counts in a column that the question names.
        """
        measure, language = question.measure, self.language
        kind = self.units[at].kind
        cells = SETTING.findall(self.texts[at]) if kind == "code" else []
        cells = self.cells(at) if kind == "row" else cells
        asked = {
            stem
            for term in question.terms
            if not term.is_name or term.text.isdigit()
            for stem in term.stems
        }
        for name, cell in cells:
            words = re.findall(r"[^\W_]+", name)[::-1]
            named = asked & set(stem_words(name, language))
            texts = [f"{cell.strip()} {' '.join(words)}", cell if named else ""]
            if cell and (
                measure.lists("columns", name) or any(measure.is_in(t, language) for t in texts)
            ):
                return True
        return (kind == "code" or not cells) and measure.is_in(self.texts[at], language)

    @cached_property
    def tables(self) -> list[tuple[tuple[int, int], int]]:
        """The head of each table of the document that reaches into the passage, and its end."""
        document, passage = self.document, self.passage
        tables = [
            table for table in document.metadata.get(TABLES, ())
            if table[0] < passage.end and passage.start < table[1]
        ]  # fmt: skip
        heads = (
            rows_of_tables(document, start, min(end, start + 2 * QUOTE_CHARACTERS))[:1]
            for start, end in tables
        )
        return [(head, end) for row, (_, end) in zip(heads, tables, strict=True) for head in row]

    @cached_property
    def table_heads(self) -> set[int]:
        """Where heads of tables start in the passage's text; they answer nothing."""
        return {head[0] - self.passage.start for head, _ in self.tables}

    @cached_property
    def labels(self) -> list[bool]:
        """Whether each unit only names what follows it."""
        pairs = zip(self.units, self.texts, strict=True)
        return [unit.kind != "row" and is_label(text) for unit, text in pairs]

    def antecedent(self, at: int) -> str:
        """The sentence that one which begins with "it" or "she" is of, in the same paragraph."""
        subject, text = word_pattern("subject"), self.passage.text
        for before in range(at - 1, -1, -1):
            gap = text[self.units[before].end : self.units[before + 1].start]
            if self.units[before].kind != "prose" or BLANK_LINE.search(gap):
                return ""
            if not subject.match(self.texts[before]):
                return self.texts[before]
        return ""

    def begins_anew(self, at: int, question: Question) -> bool:
        """Whether a sentence begins with an article and a thing that the question does not name."""
        line, asked = self.texts[at], {stem for term in question.terms for stem in term.stems}
        if self.units[at].kind != "prose" or not word_pattern("article").match(line):
            return False
        return asked.isdisjoint(stem_words(" ".join(line.split()[:3]), self.language))

    @cached_property
    def _entries(self) -> list[tuple[str, ...]]:
        start, text = self.passage.start, self.document.text
        return (block_heads if self.is_settings else entry_heads)(text, start, self.units)

    def heads_entry(self, at: int, unit: int) -> bool:
        """Whether a unit is in the entry of another, or heads it."""
        head = self._entries[at]
        return self._entries[unit][: len(head)] == head

    def of_others(self, wanted: WeightedQuestion) -> list[tuple[str, ...]]:
        """The entry of each unit if it is for something else than what the question names."""
        terms = wanted.question.terms
        names = set(code_names(" ".join(term.name for term in terms if term.name)))
        stems = {stem for term in terms for stem in term.stems}
        asked = {
            entry
            for entry in set(self._entries)
            if any(
                names & set(code_names(head)) or set(stem_words(head, self.language)) <= stems
                for head in entry
            )
        }
        if not names and asked <= {()}:
            return [()] * len(self.units)
        return [() if entry in asked else entry for entry in self._entries]

    def definition_merit(self, at: int, wanted: WeightedQuestion) -> float:
        """What a sentence "X is …" is worth more to "What is X?"."""
        said = wanted.question.is_definition and DEFINES.match(self.texts[at])
        return DEFINITION_BONUS * self.naming_score(said[1], wanted) if said else 0.0

    def naming_score(self, line: str, wanted: WeightedQuestion) -> float:
        """The share of the question in a line times the share of the line in the question."""
        asked = {stem for term in wanted.question.terms for stem in term.stems}
        ignored = stop_words()[self.language]
        stems = [stem for stem in stem_words(line, self.language) if stem not in ignored]
        inside = sum(stem in asked for stem in stems) / max(1, len(stems))
        words = text_terms(line, self.language)
        if stems and stems[0][0].isdigit():  # the number of what it names
            words = words._replace(numbered=words.numbered | {("", stems[0])})
        return inside and inside * wanted.share(wanted.credits_for(words))


def _overlaps(place: tuple[int, int], others: Iterable[Sequence[Any]]) -> bool:
    return any(other[0] < place[1] and place[0] < other[1] for other in others)
