"""The run of sentences of a passage that answers a question best, and how well it does.

    share = sum_t w_t * c_t / sum_t w_t        w_t = idf of term t, over all passages
    c_t   = 1.0 where t is in the sentences, 0.8 in the titles above, 0.5 elsewhere in the passage
    score = share * (.5 + .5 min_names c_t) * (.7 + .3 share of the other terms with c_t > .5)

and .55 of it without a quantity that is asked for (measures.toml); with one, only what is said up
to the quantity counts, and .5 above is .3. A term that occurs nowhere has the largest weight and no
coverage, so the score is low if the documents do not cover the question; a thing that is named but
not there halves it, and a property that nothing near says of it costs three tenths. The choice of
the quote also prefers signatures of the question's subject, prose to code, and self-contained
sentences. The first quote reaches to the last sentence of its passage, or of its entry in a list of
options or definitions, that has one of the question's terms, as far as 600 characters go. A row is
quoted with its head.
"""

import re
from typing import NamedTuple

from groundup.core import Hit
from groundup.documents import ROWS, Sentence, is_label, named_cells

from ..chunks.passage_text import QUOTE_CHARACTERS, SIGNATURE, PassageText
from ..wording.entries import BLANK_LINE
from ..wording.language import word_pattern
from ..wording.question import PASSAGE_CREDIT, WeightedQuestion, text_terms

TITLE_CREDIT = 0.8
NEW_SUBJECT = 0.5  # left of the credit of a sentence that begins with another thing: "The barn …"
RUN_UNITS = 8
PARAGRAPH_CHARACTERS = 240  # up to which a quote takes in the rest of its paragraph
LABEL_BONUS = 0.3  # for a signature, a defined word or a title that names the question's subject
OPENING_BONUS = 0.15  # for what stands first below a title that is the question
DIRECT_BONUS = 0.2  # for terms in the sentences themselves rather than in a title
UNIT_COST, LENGTH_COST = 0.03, 0.05  # for each further sentence, and for 600 characters
SUPERSEDED_COST = 0.15  # for a superseded document, unless the question names it or its number
DEPENDENT_COST = 0.08  # for a sentence that depends on the one before, such as "It also …"

NUMBER = re.compile(r"\d+")
ASSIGNMENT = re.compile(r"[\"']?(\w*[._A-Z-][\w.-]*)[\"']?\s*[=:]\s*\S")


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


def best_span(text: PassageText, wanted: WeightedQuestion) -> QuoteSpan | None:
    """The run of sentences of a passage that answers the question best; None if there is none."""
    units, question = text.units, wanted.question
    (credits, quantity), others = _own_credits(text, wanted), text.of_others(wanted)
    context = _context_credits(text, credits, others, wanted)
    labels = [_label_score(text, at, wanted) for at in range(len(units))]
    defined = [text.definition_merit(at, wanted) for at in range(len(units))]
    dependent, best = word_pattern("dependent"), None
    depends = [dependent.match(line) is not None for line in text.texts]
    anew = {at for at in range(len(units)) if text.begins_anew(at, question)}
    title, cost = 0.0, SUPERSEDED_COST * _is_superseded(text, wanted)
    for first, line in enumerate(text.texts):
        if units[first].start in text.table_heads or not any(map(str.isalnum, line)):
            continue
        covered, direct = context[first], [0.0] * len(wanted.weights)
        measured = [0.0] * len(covered)
        is_titled = is_about = max(covered) > PASSAGE_CREDIT
        title = labels[first] if units[first].kind == "heading" else title
        bonus = LABEL_BONUS * max(title, *labels[max(0, first - 1) : first + 1])
        is_opening = first > 0 and units[first - 1].kind == "heading"
        bonus += OPENING_BONUS * (is_opening and wanted.share(credits[first - 1]) >= TITLE_CREDIT)
        for last in range(first, _run_end(text, others, first)):
            is_other = last > first and last in anew
            own = [NEW_SUBJECT * each for each in credits[last]] if is_other else credits[last]
            direct = [max(pair) for pair in zip(direct, own, strict=True)]
            share = max(TITLE_CREDIT, labels[last]) if units[last].kind == "heading" else 1.0
            covered = [max(c, share * new) for c, new in zip(covered, own, strict=True)]
            # A quantity counts in a paragraph with a word of the question, or below one.
            is_next = _same_paragraph(text, last - 1) and depends[last]
            is_about = is_titled or max(own) > 0 or is_about and is_next
            # What is said after the quantity is of something else: "A bed costs 9. The boat …"
            is_measured = is_about and last in quantity or not question.measure.name
            measured = covered if is_measured else measured
            score = max(wanted.score(covered, False), wanted.score(measured, True))
            merit = _run_merit(text, first, last, wanted.share(direct))
            rank = score + bonus + defined[first] + merit - cost
            if best is None or rank > best.rank:
                best = QuoteSpan(text.hit, first, last, score, rank, tuple(covered))
    return best and _as_quoted(best, text, credits, others)


def _is_superseded(text: PassageText, wanted: WeightedQuestion) -> bool:
    """Whether another document is meant: "handbook-2019-superseded.md", where no 2019 is asked."""
    marks, titles = word_pattern("superseded"), text.passage.headings[:1]
    named = " ".join((text.document.path, *titles)).replace("_", " ")
    if not marks.search(named):
        return False
    asked = " ".join(term.text for term in wanted.question.terms)
    numbers = [set(NUMBER.findall(each)) for each in (named, asked)]
    return not (marks.search(asked) or numbers[0] & numbers[1])


def _own_credits(text: PassageText, wanted: WeightedQuestion) -> tuple[list[list[float]], set[int]]:
    """The credit of each term for each unit, and the units with a quantity that is asked for."""
    measure, lines = wanted.question.measure, range(len(text.units))
    credits = [text.credits_of(at, wanted) for at in lines]
    quantity = {at for at in lines if measure.name and text.has_quantity(at, wanted.question)}
    verbs = [float(measure.lists("verbs", term.text)) for term in wanted.question.terms]
    for at in quantity:  # "9 kg" says what something weighs; $0 of a script costs nothing
        if text.units[at].kind == "code":
            continue
        credits[at] = [max(pair) for pair in zip(credits[at], verbs, strict=True)]
    return credits, quantity


def _run_end(text: PassageText, others: list[tuple[str, ...]], first: int) -> int:
    units, at = text.units, first + 1
    end = at if units[first].kind == "row" else first + RUN_UNITS  # a row is of one thing
    # "She reaches 27 knots" is of nothing that is named in a later paragraph.
    is_dependent = word_pattern("dependent").match(text.texts[first]) is not None
    while (
        at < min(end, _entry_end(others, first)) and units[at].kind not in ("heading", "row")
        and units[at].end - units[first].start <= QUOTE_CHARACTERS
        and (not is_dependent or _same_paragraph(text, at - 1))
    ):  # fmt: skip
        at += 1
    return at


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
    is_numbered = any(term.is_numbered for term in wanted.question.terms)
    if text.tables or text.document.metadata.get(ROWS) or is_numbered:
        return 1.0  # a table's head may be in another passage; another number may be in this one
    inside = wanted.credits_for(text_terms(text.passage.text, text.language))
    pairs = zip(inside, wanted.credits_for(text.outer), strict=True)
    return wanted.score([max(pair) for pair in pairs], True)


def _entry_end(others: list[tuple[str, ...]], first: int) -> int:
    ends = (at for at in range(first, len(others)) if others[at] != others[first])
    return next(ends, len(others))


def _context_credits(
    text: PassageText,
    credits: list[list[float]],
    others: list[tuple[str, ...]],
    wanted: WeightedQuestion,
) -> list[list[float]]:
    """The credit of each term for the titles and the passage around each unit."""
    outer = wanted.credits_for(text.outer)
    scopes, near, none = list(zip(others, text.sections, strict=True)), {}, [0.0] * len(outer)
    for other, titles in set(scopes):  # what is in another entry or section counts there alone
        same = [
            own for own, (each, above), unit in zip(credits, scopes, text.units, strict=True)
            if (each, titles[: len(above)]) == (other, above) and unit.kind != "row"
        ]  # fmt: skip
        columns = zip(none, *same, strict=True)
        near[other, titles] = [PASSAGE_CREDIT * max(column) for column in columns]
    context, heads, terms = [], {}, wanted.question.terms
    bodies = (u.kind == "row" and u.start not in text.table_heads for u in text.units)
    rows_of = {other for other, is_body in zip(others, bodies, strict=True) if is_body}
    for unit, line, head, scope in zip(text.units, text.texts, text.heads, scopes, strict=True):
        inner = [credits[number] for _, number in scope[1]]
        above = none
        if head is not None:
            row = text.document.text[slice(*head)]
            cells = named_cells(row, line) if unit.kind == "row" else []
            row = "\t".join(name for name, _ in cells) or row
            if row not in heads:
                heads[row] = wanted.credits_for(text_terms(row, text.language))
            above = heads[row]
        is_of_other = text.is_settings and scope[0]  # "[generator]" in turbine.ini
        titles = zip(none if is_of_other else outer, *inner, strict=True)
        rows = zip(titles, above, near[scope], strict=True)
        context.append([max(TITLE_CREDIT * max(t), h, w) for t, h, w in rows])
        if unit.kind == "row" and scope[0] and () in rows_of:  # another row is of what is named
            context[-1] = [c * (not t.is_name) for c, t in zip(context[-1], terms, strict=True)]
    return context


def _label_score(text: PassageText, at: int, wanted: WeightedQuestion) -> float:
    line = text.texts[at].split("\n", 1)[0]
    if text.units[at].start in text.table_heads:
        return 0.0
    if text.units[at].kind == "row":  # the first cell says what the row is of
        return text.naming_score(text.first_cell(at), wanted)
    if assigned := ASSIGNMENT.match(line):
        return text.naming_score(assigned[1], wanted)
    signature = SIGNATURE.match(line)
    if signature and is_label(line):
        names = signature[1] + "()", text.signed(line)
        return max(text.naming_score(name, wanted) for name in names)
    is_title = text.labels[at] or text.units[at].kind == "heading"
    return text.naming_score(line, wanted) if is_title else 0.0


def _run_merit(text: PassageText, first: int, last: int, direct: float) -> float:
    units, texts = text.units, text.texts
    size = (units[last].end - units[first].start) / QUOTE_CHARACTERS
    value = DIRECT_BONUS * direct - UNIT_COST * (last - first) - LENGTH_COST * size
    shown = [at for at in range(first, last + 1) if units[at].kind != "heading"]
    if not shown:
        return value - 0.4
    opening = texts[shown[0]]
    is_code = any(units[at].kind == "code" for at in shown)
    value -= 0.1 * all(text.labels[at] for at in shown) + 0.1 * is_code
    value -= 0.1 * (len(opening.split()) < 4) + 0.1 * opening.endswith("?")
    return value - DEPENDENT_COST * (word_pattern("dependent").match(opening) is not None)


def _last_mention(units: list[Sentence], credits: list[list[float]], first: int, last: int) -> int:
    for at in range(last + 1, len(units)):
        if units[at].kind in ("heading", "row"):
            break
        if units[at].end - units[first].start > QUOTE_CHARACTERS:
            break
        if max(credits[at], default=0.0) >= 1.0:
            last = at
    return last


def _extend_quote(text: PassageText, first: int, last: int, stop: int) -> tuple[int, int]:
    texts = text.texts
    while text.units[first].kind == "heading" and first + 1 < len(text.units):
        first += 1
    is_table = text.units[first].kind == "row"  # the title above it is the question
    units = text.units if is_table else text.units[: max(stop, first + 1)]
    last = max(first, last)
    is_dependent = word_pattern("dependent").match(texts[first])
    if first > 0 and units[last].end - units[first - 1].start <= QUOTE_CHARACTERS:
        if is_dependent and _same_paragraph(text, first - 1):
            first -= units[first - 1].kind == "prose"
        elif (
            text.labels[first - 1] and text.heads_entry(first - 1, first)
            and not text.items[first - 1]
        ):  # fmt: skip
            first -= units[first - 1].kind != "heading"
    ends = ("heading",) if is_table else ("heading", "row")
    while last + 1 < len(units) and units[last + 1].kind not in ends:
        size = units[last + 1].end - units[first].start
        names_next = text.labels[last] and not text.items[last]
        is_titled = text.items[first] and first > 0 and units[first - 1].kind == "heading"
        is_led = is_titled or any(each[-1:] == ":" for each in texts[first:last])
        if names_next or is_led and text.items[last + 1] or is_table or texts[last].endswith(":"):
            fits = size <= QUOTE_CHARACTERS
        else:
            fits = size <= PARAGRAPH_CHARACTERS and _same_paragraph(text, last)
        if not fits:
            break
        last += 1
    return units[first].start, units[last].end


def _same_paragraph(text: PassageText, at: int) -> bool:
    return not BLANK_LINE.search(text.passage.text, text.units[at].end, text.units[at + 1].start)
