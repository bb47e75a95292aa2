"""The run of sentences of a passage that answers a question best, and how well it does.

    share = sum_t w_t * c_t / sum_t w_t        w_t = idf of term t, over all passages
    c_t   = 1.0 where t is in the sentences, 0.8 in the titles above, 0.5 elsewhere in the passage
    score = share * (.5 + .5 min_names c_t) * (.7 + .3 share of the other terms with c_t > .5)

and .55 to .7 of it without a quantity that is asked for (measures.toml). A term that occurs nowhere
has the largest weight and no coverage, so the score is low if the documents do not cover the
question; a thing that is named but not there halves it, and a property that nothing near says of
it costs three tenths. The choice of the quote also prefers signatures of the question's subject,
prose to code, and self-contained sentences. The first quote reaches to the last sentence of its
passage, or of its entry in a list of options or definitions, that has one of the question's terms,
as far as 600 characters go. A row is quoted with its head.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from groundup.core import Hit, Passage, Quote
from groundup.documents import ROWS, TABLES, Record, rows_of_tables

from .chunk import LIST_ITEM, Sentence, is_label, split_sentences
from .language import FALLBACK, stem_words, stop_words, word_pattern
from .question import Question, TextTerms, code_names, measures, term_credit, text_terms

TITLE_CREDIT = 0.8
PASSAGE_CREDIT = 0.5
MISSING_NAME, MISSING_PROPERTY = 0.5, 0.7
"""What is left of the score without the thing that is named, or what is asked of it."""
RUN_UNITS = 8

LINE_KINDS = frozenset(("html", "code", "notebook"))
"""Kinds of files whose lines end sentences."""
BLANK_LINE = re.compile(r"\n[ \t]*\n")
QUOTE_CHARACTERS = 600
"""Longest quote."""
PARAGRAPH_CHARACTERS = 240
"""A quote takes in the rest of its paragraph up to this length."""
HEADING_CHARACTERS = 200

LABEL_BONUS = 0.3
"""For a signature, a defined word or a title that names the question's subject."""
DIRECT_BONUS = 0.2
"""For terms in the sentences themselves rather than in a title."""
UNIT_COST, LENGTH_COST = 0.03, 0.05
"""For each further sentence, and for 600 characters."""
DEPENDENT_COST = 0.08
"""For a sentence that depends on the one before, such as "It also …"."""

OPTION = re.compile(r"(?:[-*•+·]\s+)?((?:[`*]*--?[A-Za-z][^\s,|]*(?:,? | *\| *| or |,|$))+)")
ITEM_NAME = re.compile(r"(?:[-*•+·]|\d{1,3}[.)])\s+[`*_]+([\w./$-]+(?: [\w./$-]+){0,2})[`*_]+")
WORD = re.compile(r"\W*[^\W\d][\w-]*\W*")
"""How the entry of an option begins, and a named item of a list; a line of one word."""
CELL = re.compile(r"[|,;\t\n]")
SIGNATURE = re.compile(
    r"(?:@|\$ |>>> )?(?:(?:async |class |def |exception )\s*)*([\w.\-]+)\s*(?:\(|$)"
)


class WeightedQuestion(NamedTuple):
    """A question with the weight of each term, nats."""

    question: Question
    weights: Sequence[float]

    def share(self, credits: Sequence[float]) -> float:
        """The weighted share of covered terms, in [0, 1]."""
        pairs = zip(self.weights, credits, strict=True)
        return sum(weight * credit for weight, credit in pairs) / sum(self.weights)

    def credits_for(self, words: TextTerms) -> list[float]:
        """The credit of each term for some words."""
        return [term_credit(term, words) for term in self.question.terms]

    def part(self, indices: Sequence[int]) -> "WeightedQuestion":
        """The question of some of its terms alone."""
        return WeightedQuestion(self.question.part(indices), [self.weights[i] for i in indices])


class QuoteSpan(NamedTuple):
    """A run of sentences of one passage, as a possible answer."""

    hit: Hit
    start: int
    """Start in the passage's text."""
    end: int
    score: float
    """How well it answers the question, in [0, 1]; decides refusal."""
    rank: float
    """The score plus the merits of the quote; decides the order."""
    covered: tuple[float, ...] = ()
    """The credit of each term of the question."""
    short_end: int = 0
    """End of the run itself."""
    head: tuple[int, int] | None = None
    """Range of the document that heads the quoted row of a table, or item of a list."""


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
        sentences = split_sentences(passage.text, document.kind in LINE_KINDS, not is_code)
        sentences = split_long(passage.text, sentences, QUOTE_CHARACTERS // 2)
        prose = (each for each in sentences if not _overlaps(each[:2], self._rows))
        units = sorted([*self._rows, *prose])
        if document.kind == "python":
            return units
        titles = [
            (heading.start - passage.start, heading.end - passage.start)
            for heading in document.headings
            if passage.start < heading.end and heading.start < passage.end
        ]
        return [
            unit._replace(kind="heading")
            if unit.end - unit.start < HEADING_CHARACTERS and _overlaps(unit[:2], titles)
            else unit
            for unit in units
        ]

    @cached_property
    def _rows(self) -> list[Sentence]:
        """The rows of tables in the passage."""
        at, end = self.passage.start, self.passage.end
        rows = rows_of_tables(self.document, at, end)
        return [Sentence(first - at, last - at, "row") for first, last in rows]

    @cached_property
    def texts(self) -> list[str]:
        """The text of each unit."""
        return [self.passage.text[unit.start : unit.end] for unit in self.units]

    @cached_property
    def terms(self) -> list[TextTerms]:
        """Stems and names of each unit."""
        return [text_terms(text, self.language) for text in self.texts]

    def quote(self, unit: Sentence) -> Quote:
        """A unit as a quote of its file."""
        return self.document.quote(self.passage.start + unit.start, self.passage.start + unit.end)

    @cached_property
    def outer(self) -> TextTerms:
        """Stems and names of the titles and the path."""
        titles = self.passage.headings
        return text_terms(" ".join((*titles, self.passage.path)), self.language, ".".join(titles))

    @cached_property
    def heads(self) -> list[tuple[int, int] | None]:
        """For each row of a table or item of a list, the range of the document that heads it.

        That is the first row of the table, or the sentence with a colon before the list.
        """
        start, text = self.passage.start, self.passage.text
        heads: list[tuple[int, int] | None] = []
        lead: Sentence | None = None
        for number, unit in enumerate(self.units):
            if number and BLANK_LINE.search(text, self.units[number - 1].end, unit.start):
                before = self.units[number - 1]
                lead = before if before.kind == "prose" and text[before.end - 1] == ":" else None
            at = start + unit.start
            head = next((head for head, end in self.tables if head[1] <= at < end), None)
            if head is None and lead is not None:
                head = (start + lead.start, start + lead.end)
            heads.append(head)
        return heads

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
    def labels(self) -> list[bool]:
        """Whether each unit only names what follows it."""
        pairs = zip(self.units, self.texts, strict=True)
        return [unit.kind != "row" and is_label(text) for unit, text in pairs]

    @cached_property
    def _entries(self) -> list[tuple[str, ...]]:
        """For each unit, what heads its entry in a list of options or definitions."""
        entries, heads, margin, is_head = list[tuple[str, ...]](), (), 0, False
        for unit, text in zip(self.units, self.texts, strict=True):
            if unit.kind == "row":
                entries.append((CELL.split(text.lstrip("| "), 1)[0],))
                continue
            at = self.passage.start + unit.start
            column = at - self.document.text.rfind("\n", 0, at) - 1
            head = _entry_head(text, column)
            if unit.kind == "heading":
                heads, is_head = (), False
            elif head and (column <= margin or is_head or not heads):  # else it is part of one
                heads = (*heads, head) if is_head and column == margin else (head,)
                margin = column
            is_head = bool(head) and "\n" not in text and is_label(text)
            entries.append(heads)
        return entries

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

    def naming_score(self, line: str, wanted: WeightedQuestion) -> float:
        """The share of the question in a line times the share of the line in the question."""
        asked = {stem for term in wanted.question.terms for stem in term.stems}
        ignored = stop_words()[self.language]
        stems = [stem for stem in stem_words(line, self.language) if stem not in ignored]
        inside = sum(stem in asked for stem in stems) / max(1, len(stems))
        return inside and inside * wanted.share(wanted.credits_for(text_terms(line, self.language)))


def _entry_head(text: str, column: int) -> str:
    """What heads an entry that begins so: options, a defined word, the name of an item; or ""."""
    line, _, rest = text.partition("\n")
    if match := OPTION.match(line) or ITEM_NAME.match(line):
        return match[1]
    body = rest.lstrip(" \t")
    if rest and (len(rest) - len(body) > column or body[:1] == ":"):
        return line if is_label(line) and len(line.split()) <= 4 else ""
    is_name = is_label(text) and (WORD.fullmatch(line) or any(code_names(line)))
    return line if is_name else ""


def _overlaps(place: tuple[int, int], others: Iterable[Sequence[Any]]) -> bool:
    return any(other[0] < place[1] and place[0] < other[1] for other in others)


def split_long(text: str, units: list[Sentence], limit: int) -> list[Sentence]:
    """Units of at most so many characters: longer ones end with their lines or words."""
    result: list[Sentence] = []
    for unit in units:
        start = unit.start
        while unit.end - start > limit:
            cut = text.rfind("\n", start + 1, start + limit)
            cut = cut if cut > start else text.rfind(" ", start + 1, start + limit)
            cut = cut if cut > start else start + limit
            result.append(Sentence(start, cut, unit.kind))
            start = cut + len(text[cut:]) - len(text[cut:].lstrip())
        result.append(Sentence(start, unit.end, unit.kind))
    return result


def best_span(text: PassageText, wanted: WeightedQuestion) -> QuoteSpan | None:
    """The run of sentences of a passage that answers the question best; None if there is none."""
    units = text.units
    credits = [wanted.credits_for(words) for words in text.terms]
    others = text.of_others(wanted)
    context = _context_credits(text, credits, others, wanted)
    labels = [_label_score(text, at, wanted) for at in range(len(units))]
    measure = wanted.question.measure
    has_answer = re.compile(measures()[measure].answers if measure else "", re.IGNORECASE).search
    best: QuoteSpan | None = None
    title = 0.0
    for first in range(len(units)):
        covered, direct, is_measured = context[first], [0.0] * len(wanted.weights), False
        if units[first].kind == "heading":
            title = labels[first]
        bonus = LABEL_BONUS * max(title, *labels[max(0, first - 1) : first + 1])
        run = 1 if units[first].kind == "row" else RUN_UNITS  # the next row is of another thing
        for last in range(first, min(first + run, _entry_end(others, first))):
            length = units[last].end - units[first].start
            is_heading = units[last].kind == "heading"
            if last > first and (length > QUOTE_CHARACTERS or is_heading):
                break
            own = credits[last]
            direct = [max(pair) for pair in zip(direct, own, strict=True)]
            credit = [TITLE_CREDIT * c for c in own] if is_heading else own
            covered = [max(pair) for pair in zip(covered, credit, strict=True)]
            is_measured = is_measured or has_answer(text.texts[last]) is not None
            score = _score(wanted, covered, is_measured)
            rank = score + bonus + _run_merit(text, first, last, wanted.share(direct))
            if best is None or rank > best.rank:
                best = QuoteSpan(text.hit, first, last, score, rank, tuple(covered))
    return best and _as_quoted(best, text, credits, others)


def _as_quoted(
    run: QuoteSpan, text: PassageText, credits: list[list[float]], others: list[tuple[str, ...]]
) -> QuoteSpan:
    """A run of units with what belongs to it, as ranges of the passage; a row stays alone."""
    units, start, short = text.units, text.units[run.start].start, text.units[run.end].end
    end = short
    if units[run.start].kind != "row":
        stop = _entry_end(others, run.start)
        last = _last_mention(units[:stop], credits, run.start, run.end)
        _, short = _extend_quote(text, run.start, run.end, stop)
        start, end = _extend_quote(text, run.start, last, stop)
    first = next(at for at, unit in enumerate(units) if unit.start == start)
    return run._replace(start=start, end=end, short_end=short, head=text.heads[first])


def highest_score(text: PassageText, wanted: WeightedQuestion) -> float:
    """At least the score of every run of a passage, for a third of the time."""
    if text.tables or text.document.metadata.get(ROWS):
        return 1.0  # a table's head may be in another passage
    inside = wanted.credits_for(text_terms(text.passage.text, text.language))
    outside = [TITLE_CREDIT * credit for credit in wanted.credits_for(text.outer)]
    return _score(wanted, [max(pair) for pair in zip(inside, outside, strict=True)], True)


def _score(wanted: WeightedQuestion, covered: list[float], is_measured: bool) -> float:
    pairs = list(zip(wanted.question.terms, covered, wanted.weights, strict=True))
    named = min((credit for term, credit, _ in pairs if term.is_name), default=1.0)
    rest = [
        (weight * (credit > PASSAGE_CREDIT) * credit, weight)
        for term, credit, weight in pairs
        if not term.is_name
    ]
    asked = sum(each for each, _ in rest) / sum(weight for _, weight in rest) if rest else 1.0
    score = wanted.share(covered) * (MISSING_NAME + (1.0 - MISSING_NAME) * named)
    score *= MISSING_PROPERTY + (1.0 - MISSING_PROPERTY) * asked
    return score if is_measured else measures()[wanted.question.measure].without * score


def _entry_end(others: list[tuple[str, ...]], first: int) -> int:
    """The first unit after `first` that is of something else."""
    return next(
        (at for at in range(first, len(others)) if others[at] != others[first]), len(others)
    )


def _context_credits(
    text: PassageText,
    credits: list[list[float]],
    others: list[tuple[str, ...]],
    wanted: WeightedQuestion,
) -> list[list[float]]:
    """The credit of each term for the titles and the passage around each unit."""
    outer = wanted.credits_for(text.outer)
    near: dict[tuple[str, ...], list[float]] = {}  # an entry for something else counts there alone
    for other in set(others):
        same = [own for own, each in zip(credits, others, strict=True) if each == other]
        near[other] = [PASSAGE_CREDIT * max(column) for column in zip(*same, strict=True)]
    context, inner, heads = [], [0.0] * len(outer), {}
    for unit, own, head, other in zip(text.units, credits, text.heads, others, strict=True):
        if unit.kind == "heading":
            inner = own
        above = [0.0] * len(outer)
        if head is not None:
            if head not in heads:
                row = text.document.text[slice(*head)]
                heads[head] = wanted.credits_for(text_terms(row, text.language))
            above = heads[head]
        rows = zip(outer, inner, above, near[other], strict=True)
        context.append([max(TITLE_CREDIT * max(o, i), h, w) for o, i, h, w in rows])
    return context


def _label_score(text: PassageText, at: int, wanted: WeightedQuestion) -> float:
    """How well a short line names the question's subject: a title, a signature, a defined word."""
    line = text.texts[at].split("\n", 1)[0]
    key, tab, _ = line.partition("\t")
    if tab:  # the first cell of a row says what the row is of
        return text.naming_score(key, wanted)
    signature = SIGNATURE.match(line)
    if signature and is_label(line):
        return text.naming_score(signature[1] + "()", wanted)
    return text.naming_score(line, wanted) if text.labels[at] else 0.0


def _opening_merit(sentence: str) -> float:
    """The quality of a sentence as the first of a quote."""
    value = -0.1 * (len(sentence.split()) < 4) - 0.1 * sentence.endswith("?")
    return value - DEPENDENT_COST * bool(word_pattern("dependent").match(sentence))


def _run_merit(text: PassageText, first: int, last: int, direct: float) -> float:
    """The quality of a run as a quote, apart from what it covers."""
    units = text.units
    length = units[last].end - units[first].start
    value = -UNIT_COST * (last - first) - LENGTH_COST * length / QUOTE_CHARACTERS
    shown = [at for at in range(first, last + 1) if units[at].kind != "heading"]
    if not shown:
        return value - 0.4
    if units[shown[0]].kind == "code":
        value -= 0.1 * ("\n" in text.texts[shown[0]])
    value -= 0.1 * all(text.labels[at] for at in shown)
    if units[shown[0]].kind == "row":
        at = text.passage.start + units[shown[0]].start
        return value + DIRECT_BONUS * direct - 0.5 * any(at == head[0] for head, _ in text.tables)
    opening = next((at for at in shown if units[at].kind == "prose"), None)
    if opening is None:
        return value - 0.1
    return value + _opening_merit(text.texts[opening]) + DIRECT_BONUS * direct


def _last_mention(units: list[Sentence], credits: list[list[float]], first: int, last: int) -> int:
    """The last unit within 600 characters of a run's start that has a term of the question."""
    for at in range(last + 1, len(units)):
        is_far = units[at].end - units[first].start > QUOTE_CHARACTERS
        if is_far or units[at].kind == "heading":
            break
        if max(credits[at], default=0.0) >= 1.0:
            last = at
    return last


def _extend_quote(text: PassageText, first: int, last: int, stop: int) -> tuple[int, int]:
    """The quote of a run: without a leading title, with the rest of its paragraph if it fits."""
    units, texts = text.units[:stop], text.texts
    while units[first].kind == "heading" and first + 1 < len(units):
        first += 1
    last = max(first, last)
    is_dependent = word_pattern("dependent").match(texts[first])
    if first > 0 and units[last].end - units[first - 1].start <= QUOTE_CHARACTERS:
        if is_dependent and _same_paragraph(text, first - 1):
            first -= units[first - 1].kind == "prose"
        elif text.labels[first - 1]:
            first -= units[first - 1].kind != "heading"
    while last + 1 < len(units) and units[last + 1].kind != "heading":
        size = units[last + 1].end - units[first].start
        names_next = text.labels[last] and not LIST_ITEM.match(texts[last])
        if names_next or texts[last].endswith(":"):
            fits = size <= QUOTE_CHARACTERS
        else:
            fits = size <= PARAGRAPH_CHARACTERS and _same_paragraph(text, last)
        if not fits:
            break
        last += 1
    return units[first].start, units[last].end


def _same_paragraph(text: PassageText, at: int) -> bool:
    between = text.passage.text[text.units[at].end : text.units[at + 1].start]
    return not re.search(r"\n\s*\n", between)
