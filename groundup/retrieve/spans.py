"""The run of sentences of a passage that answers a question best.

    score = sum_t w_t * c_t / sum_t w_t        w_t = idf of term t, over all passages
    c_t   = 1.0 where t is in the sentences, 0.8 in the titles above, 0.5 elsewhere in the passage

A term that occurs nowhere has the largest weight and no coverage, so the score is low if the
documents do not cover the question. The choice of the quote also prefers definitions and signatures
of the question's subject, prose to code, and self-contained sentences.
"""

import re
from typing import NamedTuple

from groundup.core import Hit, Passage
from groundup.documents import Document

from .chunk import Sentence, is_label, split_sentences
from .language import FALLBACK, stem_words, stop_words
from .question import Question, TextTerms, term_credit, text_terms
from .search import OpenIndex

TITLE_CREDIT = 0.8
PASSAGE_CREDIT = 0.5
RUN_UNITS = 8
RUN_CHARACTERS = 600
QUOTE_CHARACTERS = 320
QUOTE_WITH_CODE_CHARACTERS = 1000

NAMELESS, NUMBERLESS = 0.5, 0.7
NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|once|twice|no limit|unlimited|"
    r"infinite|hundred|thousand|million|half|daily|hourly|weekly|monthly)\b", re.IGNORECASE,
)

UNIT_COST = 0.03
LABEL_BONUS = 0.3
"""For a signature, a defined word or a title that names the question's subject."""
DEFINITION_BONUS = 0.12
FOCUS_BONUS = 0.1
DIRECT_BONUS = 0.1
"""For terms in the sentences themselves rather than in a title."""
DEPENDENT_COST = 0.08
"""For a sentence that depends on the one before, such as "It also …"."""

DEPENDENT_START = re.compile(
    r"(?:this|it|its|they|these|those|such|however|thus|otherwise|therefore|also|instead|then|"
    r"in addition|but|so|and|for (?:example|instance)|note|see|if (?:it|they|this))\b",
    re.IGNORECASE,
)
SIGNATURE = re.compile(
    r"(?:@|\$ |>>> )?(?:(?:async |class |def |exception )\s*)*([\w.\-]+)\s*(?:\(|$)"
)
DEFINING_VERB = re.compile(
    r"\b(?:is|are|means|refers to|denotes|was|provides?|returns?|lets?|allows?)\b"
)


class WeightedQuestion(NamedTuple):
    """A question with the weight of each term, nats."""

    question: Question
    weights: list[float]
    language: str = FALLBACK
    """Language of the text that is looked at."""

    def covered_share(self, credits: list[float]) -> float:
        """The weighted share of covered terms, in [0, 1]."""
        pairs = zip(self.weights, credits, strict=True)
        return sum(weight * credit for weight, credit in pairs) / sum(self.weights)

    def score(self, credits: list[float], text: str) -> float:
        """The covered share, less where a name is missing, or the number that is asked for."""
        names = [c for term, c in zip(self.question.terms, credits, strict=True) if term.is_name]
        named = min(names, default=1.0)
        share = self.covered_share(credits) * (NAMELESS + (1 - NAMELESS) * named)
        if self.question.wants_number and not NUMBER.search(text):
            share *= NUMBERLESS
        return share

    def part(self, terms: tuple[int, ...]) -> "WeightedQuestion":
        """The question of some of the terms alone."""
        return WeightedQuestion(self.question.part(terms), [self.weights[i] for i in terms])

    def terms_of(self, text: str, context: str = "") -> TextTerms:
        """The stems and names of a text."""
        return text_terms(text, self.language, context)

    def credits_for(self, words: TextTerms) -> list[float]:
        """The credit of each term for some words."""
        return [term_credit(term, words) for term in self.question.terms]


class QuoteSpan(NamedTuple):
    """A run of sentences of one passage, as a possible answer."""

    hit: Hit
    start: int
    """Start in the passage's text."""
    end: int
    score: float
    """Share of the question that it covers, in [0, 1]; decides refusal."""
    rank: float
    """The score plus the merits of the quote; decides the order."""


def best_span(hit: Hit, index: OpenIndex, wanted: WeightedQuestion) -> QuoteSpan | None:
    """The run of sentences of a passage that covers the question best; None if there is none."""
    passage = hit.passage
    document = index.read_document(passage.document)
    wanted = wanted._replace(language=index.entries[passage.document].language)
    sentences = split_sentences(passage.text, document.kind == "html")
    units = _mark_headings(sentences, passage, document)
    context_credits = _context_credits(passage, units, wanted)
    sentence_credits = [_sentence_credits(passage.text, unit, wanted) for unit in units]
    labels = [_label_score(passage.text[unit.start : unit.end], wanted) for unit in units]
    best: QuoteSpan | None = None
    for first in range(len(units)):
        covered = context_credits[first]
        for last in range(first, min(first + RUN_UNITS, len(units))):
            is_long = units[last].end - units[first].start > RUN_CHARACTERS
            if last > first and (is_long or units[last].kind == "heading"):
                break
            covered = [max(pair) for pair in zip(covered, sentence_credits[last], strict=True)]
            run = units[first : last + 1]
            score = wanted.score(covered, passage.text[run[0].start : run[-1].end])
            near_labels = labels[max(0, first - 1) : first + 1]
            run_credits = sentence_credits[first : last + 1]
            rank = score + _quote_merit(passage.text, run, run_credits, wanted)
            rank += LABEL_BONUS * max(near_labels)
            if best is None or rank > best.rank:
                best = QuoteSpan(hit, first, last, score, rank)
    if best is None:
        return None
    last = _last_mention(units, sentence_credits, best.start, best.end)
    start, end = _extend_quote(passage.text, units, best.start, last)
    return best._replace(start=start, end=end)


def _last_mention(
    units: list[Sentence], credits: list[list[float]], first: int, last: int
) -> int:
    """The last unit within 600 characters of a run's start that has a term of the question."""
    for at in range(last + 1, len(units)):
        if units[at].kind == "heading" or units[at].end - units[first].start > RUN_CHARACTERS:
            break
        if max(credits[at], default=0.0) >= 1.0:
            last = at
    return last


def _sentence_credits(text: str, unit: Sentence, wanted: WeightedQuestion) -> list[float]:
    """The credit of each term for a sentence; titles count less."""
    credits = wanted.credits_for(wanted.terms_of(text[unit.start : unit.end]))
    if unit.kind == "heading":
        return [TITLE_CREDIT * credit for credit in credits]
    return credits


def _context_credits(
    passage: Passage, units: list[Sentence], wanted: WeightedQuestion
) -> list[list[float]]:
    """The credit of each term for the titles and the passage around each sentence."""
    titles = passage.headings
    outer = wanted.credits_for(wanted.terms_of(" ".join((*titles, passage.path)), ".".join(titles)))
    whole = wanted.credits_for(wanted.terms_of(passage.text))
    credits, inner = [], [0.0] * len(whole)
    for unit in units:
        if unit.kind == "heading":
            inner = wanted.credits_for(wanted.terms_of(passage.text[unit.start : unit.end]))
        rows = zip(outer, inner, whole, strict=True)
        credits.append([max(TITLE_CREDIT * max(o, i), PASSAGE_CREDIT * w) for o, i, w in rows])
    return credits


def _mark_headings(units: list[Sentence], passage: Passage, document: Document) -> list[Sentence]:
    """Mark sentences within a title of the document as headings."""
    if document.kind == "python":
        return units
    spans = [
        (heading.start - passage.start, heading.end - passage.start)
        for heading in document.headings
        if passage.start < heading.end and heading.start < passage.end
    ]
    return [
        unit._replace(kind="heading")
        if any(unit.start < last and first < unit.end for first, last in spans)
        and unit.end - unit.start < 200
        else unit
        for unit in units
    ]


def _label_score(text: str, wanted: WeightedQuestion) -> float:
    """How well a short line names the question's subject: a title, a signature, a defined word.

    The share of the question in the line times the share of the line in the question, in [0, 1].
    """
    line = text.split("\n", 1)[0]
    signature = SIGNATURE.match(line)
    if signature and is_label(line):
        line = signature[1] + "()"
    elif not is_label(text):
        return 0.0
    return _naming_score(line, wanted)


def _naming_score(line: str, wanted: WeightedQuestion) -> float:
    """The share of the question in the words times the share of the words in the question."""
    question_stems = {stem for term in wanted.question.terms for stem in term.stems}
    stems = [s for s in stem_words(line, wanted.language) if s not in stop_words()[wanted.language]]
    inside = sum(stem in question_stems for stem in stems)
    return wanted.covered_share(wanted.credits_for(wanted.terms_of(line))) * inside / max(1, len(stems))


def _quote_merit(
    text: str, run: list[Sentence], credits: list[list[float]], wanted: WeightedQuestion
) -> float:
    """The quality of a run as a quote, apart from what it covers."""
    value = -UNIT_COST * (len(run) - 1) - 0.05 * (run[-1].end - run[0].start) / RUN_CHARACTERS
    text_units = [unit for unit in run if unit.kind != "heading"]
    prose = [unit for unit in text_units if unit.kind == "prose"]
    value -= 0.2 * (not text_units) + 0.1 * (not prose)
    first_unit = text_units[0] if text_units else None
    if first_unit and first_unit.kind == "code":
        value -= 0.1 * ("\n" in text[first_unit.start : first_unit.end])
    value -= 0.1 * all(is_label(text[unit.start : unit.end]) for unit in text_units)
    if not prose:
        return value
    first = text[prose[0].start : prose[0].end]
    words = len(first.split())
    value -= 0.1 * (words < 4) + 0.1 * first.endswith("?")
    value -= DEPENDENT_COST * bool(DEPENDENT_START.match(first))
    direct_share = wanted.covered_share([max(row) for row in zip(*credits, strict=True)])
    focus = min(1.0, 3.0 * sum(credits[run.index(prose[0])]) / max(words, 8))
    value += DIRECT_BONUS * direct_share + FOCUS_BONUS * direct_share * focus
    return value + DEFINITION_BONUS * _definition_score(first, wanted)


def _definition_score(sentence: str, wanted: WeightedQuestion) -> float:
    """How well the part of a sentence before `is`, `means` and the like names the subject."""
    verb = DEFINING_VERB.search(sentence)
    if verb is None or verb.start() > 80:
        return 0.0
    return _naming_score(sentence[: verb.start()], wanted)


def _extend_quote(text: str, units: list[Sentence], first: int, last: int) -> tuple[int, int]:
    """The quote of a run: without a leading title, with the rest of its paragraph if it fits."""
    while units[first].kind == "heading" and first + 1 < len(units):
        first += 1
    last = max(first, last)
    is_dependent = DEPENDENT_START.match(text, units[first].start)
    if first > 0 and is_dependent and _same_paragraph(text, units, first - 1):
        first -= units[first - 1].kind == "prose"
    elif first > 0 and is_label(text[units[first - 1].start : units[first - 1].end]):
        first -= units[first - 1].kind != "heading"
    while last + 1 < len(units) and units[last + 1].kind != "heading":
        size = units[last + 1].end - units[first].start
        if is_label(text[units[last].start : units[last].end]) or text[units[last].end - 1] == ":":
            fits = size <= QUOTE_WITH_CODE_CHARACTERS
        else:
            fits = size <= QUOTE_CHARACTERS and _same_paragraph(text, units, last)
        if not fits:
            break
        last += 1
    return units[first].start, units[last].end


def _same_paragraph(text: str, units: list[Sentence], at: int) -> bool:
    return not re.search(r"\n\s*\n", text[units[at].end : units[at + 1].start])
