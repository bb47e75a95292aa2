"""Answers a question with quotes, or with "not in these documents".

No model is used. BM25 finds passages for the question and for each of its parts; in each, quote.py
finds the run of sentences that answers best. Its score is in [0, 1] and comparable between
questions and collections. If the best score is below THRESHOLD, the question is refused, with what
was found of it and what was not; a mistyped word is then tried as the word it most likely means.
"""

import math
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.core import Answer, ArtifactError, Claim, ConfigError, Passage
from groundup.documents import (
    ITEMS,
    LIST_ITEM,
    TABLES,
    Sentence,
    file_of,
    is_dictionary_word,
    named_cells,
    split_long,
    split_sentences,
)

from ..chunks.chunk import parent_hits
from ..chunks.passage_text import QUOTE_CHARACTERS, PassageText
from ..search import OpenIndex, changed_files, open_index
from ..wording.language import UNSPACED, word_pattern
from ..wording.question import Question, WeightedQuestion, term_credit, text_terms
from .quote import TITLE_CREDIT, QuoteSpan, best_span, highest_score
from .shown import quote_to_json

THRESHOLD, MISSING_THRESHOLD = 0.6, 0.8
"""Minimum score of an answer, and of one if a word is nowhere (docs/reference/retrieve.md)."""
NOT_FOUND = "not in these documents"

LIMIT = 3
"""Quotes of an answer, and more of a question that has more parts."""
MAX_CANDIDATES = 40
TITLE = r"\s+(?:the \w+ )?[\"“„«]([^\"”“»]+)[\"”“»],?\s+(?=\w)"
"""In quotation marks, behind what names the document that is asked."""
MIN_WEIGHT = 2.0
"""Smallest weight of a term, nats: a frequent word, such as "default", may be what is asked."""
BM25_WEIGHT = 0.2
"""Weight of the passage's BM25 score, relative to the best one's, in the order of quotes."""
MAX_LEFT_OUT = 3
"""Files that a refusal names as not read."""
FURTHER_CLAIM_SHARE = 0.85
"""Minimum score of a further quote, as a share of the first one's."""


def ask(
    question: str, index: Path, *, limit: int = LIMIT, only: Sequence[str] = (),
    risk: str | None = None, model: str = "", prompt: Path | None = None,
) -> Answer:  # fmt: skip
    """Answer a question from an index with quotes, or refuse.

    question  what you want to know, in words that the documents may use
    index     directory that `groundup index` made
    limit     maximum number of quotes
    only      patterns of the paths of the documents to ask, or language=...
    risk      share of the answers that may be wrong, as `groundup calibrate` promised it, like 5%
    model     directory or URL#NAME of a language model that writes the answer; none: quotes alone
    prompt    file of what that model is asked (groundup.prompt)

    Raises ConfigError for an empty question or a limit below 1, ArtifactError without an index.
    """
    if os.path.isdir(question) and not os.path.isdir(index):
        raise ConfigError(
            f"The question is the folder {question}: question and index are swapped; run: "
            f"groundup ask {shlex.quote(str(index))} --index {shlex.quote(question)}"
        )
    opened = open_index(index).only(only).at_risk(risk, index).written_by(model, prompt)
    try:
        return answer_question(opened, question, limit)
    except ArtifactError:
        if opened.artifact.path.exists():
            raise
        newer = open_index(index).only(only).at_risk(risk, index)  # two updates ended meanwhile
        return answer_question(replace(newer, writer=opened.writer), question, limit)


def answer_question(index: OpenIndex, question: str, limit: int = LIMIT) -> Answer:
    """Answer a question from an open index, for many questions."""
    if not question.strip():
        raise ConfigError("The question is empty; ask something, such as: groundup ask 'How …?'")
    if limit < 1:
        raise ConfigError(f"limit={limit} must be at least 1: it is the number of quotes.")
    index, asked = _narrowed(index, question)
    answer = _answer_in_quotes(index, asked, limit)
    answer.details["question"] = question
    if index.writer is None:
        return answer
    from .written import write_answer

    return write_answer(index, asked, index.writer, answer)


def _narrowed(index: OpenIndex, question: str) -> tuple[OpenIndex, str]:
    """The documents with the title that a question names as its source, and the question itself.

    "According to “Harbour rules”, who …?" is asked of those alone; of all if none has that title.
    """
    source = word_pattern("source", TITLE).match(question)
    if source is None:
        return index, question
    title = source[1].strip().casefold()
    hits = index.lexical.search_terms(index.parse(source[1]), MAX_CANDIDATES, index.documents)
    having = {
        hit.passage.document for hit in hits
        if title in (each.casefold() for each in hit.passage.headings)
    }  # fmt: skip
    if not having:
        return index, question
    narrowed = copy(index)  # with what it has opened
    narrowed.documents = frozenset(having)
    return narrowed, question[source.end() :]


def _answer_in_quotes(index: OpenIndex, question: str, limit: int) -> Answer:
    answer = _answer(index, question, limit)
    if not answer.refused:
        return answer
    asked, right, meant = question, question, {}
    for term in index.parse(question).terms:
        if not index.has(term) and (word := index.meant_word(term)):
            meant[term.text] = word
            right = re.sub(rf"\b{re.escape(term.text)}\b", word, right)
            # A name one letter off, or one that is a word, may be that of another thing.
            if term.name is None and not (term.is_name and is_dictionary_word(term.text)):
                asked = re.sub(rf"\b{re.escape(term.text)}\b", word, asked)
    if meant:
        answer.details["did_you_mean"] = meant
    if right != asked and (claims := _answer(index, right, limit).claims):
        near = claims[0].quotes[-1]  # of the word that is meant
        answer.details.update(nearest=quote_to_json(near) | {"line": near.line}, found=[])
    if asked != question:
        other = _answer(index, asked, limit)
        if not other.refused:
            rest = [word for word in other.details["unanswered"] if word not in meant.values()]
            missing = answer.details["missing"]
            typed = {"question": question, "did_you_mean": meant}
            other.details.update(typed, missing=missing, unanswered=rest)
            return other
    if "reading" in answer.details or index.dial:  # the reader refused what words found
        return answer
    try:
        return _answer_by_meaning(index, question, answer) if index.vectors else answer
    except (ArtifactError, ConfigError) as error:  # words alone refused, which holds without it
        answer.details["note"] = f"not looked for by meaning: {error}"
        return answer


def _answer_by_meaning(index: OpenIndex, question: str, refused: Answer) -> Answer:
    """The answer in other words to what words alone do not answer, or the refusal."""
    from ..encoders.meaning import decision, nearest_by_meaning  # imports numpy

    wanted, details = weigh_terms(index, question), refused.details
    meant = nearest_by_meaning(index, question, wanted, details["score"])
    if meant is None:
        return refused
    span, passage = meant.span, meant.span.hit.passage
    document = index.read_document(passage.document)
    language = index.passage_text(span.hit).language
    is_known = index.vectors is not None and language in index.vectors.config.languages
    details |= {"meaning": math.floor(span.score * 10_000) / 10_000} if is_known else {}
    if not is_known or span.score < decision().threshold:
        quote = document.quote(passage.start + span.start, passage.start + span.end)
        details["related"] = quote_to_json(quote) | {"line": quote.line}
        return refused
    details.pop("did_you_mean", None)  # the word is not taken for another
    claims = tuple(_claims_of(index, [span], 1, [span]))
    details |= {"unanswered": [], **_quoted_files(index, claims)}
    return Answer("\n\n".join(claim.text for claim in claims), claims=claims, details=details)


def _answer(index: OpenIndex, question: str, limit: int) -> Answer:
    wanted, texts = weigh_terms(index, question), dict[str, PassageText]()
    parsed = wanted.question
    spans = _find_spans(index, wanted, texts, question)
    parts = _find_parts(index, wanted, texts)
    firsts = _first_of_each(parts)
    limit = max(limit, len(parts)) if limit >= LIMIT else limit  # as many as there are parts
    best = max((span.score for span in [*spans, *firsts]), default=0.0)
    details = _details_of(index, question, parsed, best)
    if best < details["threshold"]:
        details |= _explain_refusal(index, wanted, spans)
        return Answer(NOT_FOUND, refused=True, details=details)
    whole = spans
    if firsts:  # the best of the parts come first, but for an answer to all of them
        kept = spans[:1] if spans and spans[0].score >= THRESHOLD else []
        spans = [*kept, *firsts, *spans[len(kept) :]]
    claims = tuple(_claims_of(index, spans, limit, firsts))
    passage, is_judged = spans[0].hit.passage, index.dial or not parsed.parts
    if is_judged and _is_vetoed(index, question, passage, claims[0], details):
        details |= _explain_refusal(index, wanted, whole[:1])
        return Answer(NOT_FOUND, refused=True, details=details)
    text = "\n\n".join(claim.text for claim in claims)
    scores = [part[0].score if part else 0.0 for part in parts]
    scores = [0.0] * len(scores) if limit < len(scores) else scores  # not all may be shown
    details |= {
        "unanswered": _unanswered(index, parsed, scores, text, details["missing"]),
        "passage": passage, "continues": _rest_of_list(index, spans[0]),
        "cells": _cells_of(index, claims, spans), **_quoted_files(index, claims),
    }  # fmt: skip
    return Answer(text, claims=claims, details=details)


def _details_of(index: OpenIndex, question: str, parsed: Question, best: float) -> dict[str, Any]:
    """What is told of every answer: what was asked, the best score and the one that answers."""
    missing = [term.text for term in parsed.terms if not index.has(term)]
    lacks_word = not parsed.parts and not all(map(UNSPACED.match, missing))
    threshold = MISSING_THRESHOLD if lacks_word else THRESHOLD
    if index.dial and index.dial.by == "words":
        threshold = max(threshold, index.dial.threshold)
    details: dict[str, Any] = {
        "question": question, "score": math.floor(best * 10_000) / 10_000, "threshold": threshold,
        "missing": missing, "terms": [term.text for term in parsed.terms],
        "index": index.artifact.id, "root": index.root,
    }  # fmt: skip
    details |= {"note": parsed.truncation_note} if parsed.truncation_note else {}
    return details | ({"risk": index.dial.risk} if index.dial else {})


def _find_parts(
    index: OpenIndex, wanted: WeightedQuestion, texts: dict[str, PassageText]
) -> list[list[QuoteSpan]]:
    """The best runs for each part of a question, as a part of it or alone."""
    parts = list[list[QuoteSpan]]()
    for terms, own, measure in wanted.question.parts:
        ways = [wanted.part(each, measure) for each in (terms, own) if each]
        found = [_find_spans(index, way, texts) for way in ways]
        parts.append(max(found, key=lambda spans: max((s.score for s in spans), default=0.0)))
    return parts


def _first_of_each(parts: list[list[QuoteSpan]]) -> list[QuoteSpan]:
    """The best quote of each part; where that of an earlier one is the best, what says it better.

    Below the title "Deposit and warranty" the sentence on the deposit tells nothing of the other.
    """
    firsts = list[QuoteSpan]()
    for part in filter(None, parts):
        places = {(span.hit.passage.id, span.start) for span in firsts}
        is_shown = (part[0].hit.passage.id, part[0].start) in places
        best = max(part, key=lambda span: span.score) if is_shown else part[0]
        firsts += [best] if best.score >= THRESHOLD else []
    return firsts


def _is_vetoed(
    index: OpenIndex, question: str, passage: Passage, claim: Claim, details: dict[str, Any]
) -> bool:
    """Whether the index's reader finds no answer in a claim; `reading` is its opinion."""
    is_by_words = index.dial is not None and index.dial.by == "words"
    if is_by_words or not index.names_model("reader"):
        return False
    from ..readers.judge import opinion  # imports torch

    try:
        found = opinion(index, question, passage, claim.text)
    except (ArtifactError, ConfigError) as error:  # words alone decide, as they do without it
        if index.dial:
            raise
        details["note"] = f"not judged by the reader: {error}"
        return False
    if found is None:
        details |= {"note": "the reader does not know its language"} if index.dial else {}
        return index.dial is not None
    details["reading"] = found.log_odds
    return found.is_veto


def weigh_terms(index: OpenIndex, question: str) -> WeightedQuestion:
    """A question's terms with their weights, nats."""
    parsed = index.parse(question)
    weights = [t.share * max(MIN_WEIGHT, index.term_weight(t)) for t in parsed.terms]
    return WeightedQuestion(parsed, weights)


def _unanswered(
    index: OpenIndex, question: Question, scores: list[float], text: str, missing: list[str]
) -> list[str]:
    """Words that are nowhere, or of a part of the question with no answer and not in the text.

    A part whose words are all in it lacks the quantity that it asks for: "colour".
    """
    parts = zip(question.parts, scores, strict=True)
    open_parts = [part for part, score in parts if score < THRESHOLD]
    asked = {number for part in open_parts for number in part.terms}
    words = text_terms(text, index.languages[0])
    named = [
        term.text
        for number, term in enumerate(question.terms)
        if term.text in missing or number in asked and term_credit(term, words) < TITLE_CREDIT
    ]
    lacking = [p for p in open_parts if not any(question.terms[n].text in named for n in p.terms)]
    return [*named, *dict.fromkeys(p.measure.name for p in lacking if p.measure.name)]


def _explain_refusal(
    index: OpenIndex, wanted: WeightedQuestion, spans: list[QuoteSpan]
) -> dict[str, Any]:
    """What the nearest quote has of the question, the quote, and what was not read at all."""
    numbers = index.artifact.numbers
    left_out = numbers.get("left_out", numbers.get("rejected", 0))
    details: dict[str, Any] = {"left_out": left_out}
    if left_out:
        details["left_out_files"] = _files_left_out(index, wanted.question)
    if spans:
        nearest = max(spans, key=lambda span: span.score)
        pairs = list(zip(wanted.question.terms, nearest.covered, strict=True))
        details["found"] = [term.text for term, credit in pairs if credit >= TITLE_CREDIT]
        passage = nearest.hit.passage
        start, end = passage.start + nearest.start, passage.start + nearest.end
        quote = index.read_document(passage.document).quote(start, end)
        details["nearest"] = quote_to_json(quote) | {"line": quote.line}
        language = index.entries[passage.document].language
        if not wanted.question.measure.is_in(quote.text, language):
            details["no_quantity"] = wanted.question.measure.name
    return details


def _files_left_out(index: OpenIndex, question: Question) -> list[str]:
    """Some of the files that were not read, those first that the question names."""
    names = {term.text.lower() for term in question.terms}
    order = sorted((Path(path).name.lower() not in names, path) for path in index.left_out)
    return [path for _, path in order[:MAX_LEFT_OUT]]


def _quoted_files(index: OpenIndex, claims: Iterable[Claim]) -> dict[str, Any]:
    """Hash of every quoted file, and which of them have changed since."""
    paths = [quote.path for claim in claims for quote in claim.quotes]
    names = [file_of(path, index.sha256_by_path.__contains__) for path in paths]
    found: dict[str, Any] = {"files": {name: index.sha256_by_path[name] for name in names}}
    if index.root is None:
        return found
    if not Path(index.root).is_dir():
        note = f"{index.root} does not exist any more: the files were not compared with the index"
        return found | {"since": note}
    if not (changed := changed_files(found["files"], Path(index.root))):
        return found | {"changed": []}
    what = ", ".join(f"{path} {how}" for path, how in changed.items())
    note = f"{what} since it was indexed; run again: {index.update_command}"
    return found | {"changed": list(changed), "since": note}


def _find_spans(
    index: OpenIndex, wanted: WeightedQuestion, texts: dict[str, PassageText], asked: str = ""
) -> list[QuoteSpan]:
    """The best run of sentences of each found passage, best first; `texts` keeps the passages.

    asked: the whole question, which the index's reranker reads; of parts words alone find passages
    """
    if not sum(wanted.weights):
        return []
    found = index.best_hits(asked, wanted.question, MAX_CANDIDATES)
    hits = parent_hits(found, index.read_document)
    spans, best = list[QuoteSpan](), -1.0
    for hit in hits:
        passage = hit.passage
        if passage.id not in texts:
            texts[passage.id] = index.passage_text(hit)
        if highest_score(texts[passage.id], wanted) < min(best, THRESHOLD):
            continue  # neither an answer nor the nearest to one
        if span := best_span(texts[passage.id], wanted):
            best = max(best, span.score)
            rank = span.rank + BM25_WEIGHT * hit.score / hits[0].score
            spans.append(span._replace(rank=rank))
    return sorted(spans, key=lambda span: (-span.rank, span.hit.passage.id))


def _cells_of(
    index: OpenIndex, claims: Sequence[Claim], spans: Iterable[QuoteSpan]
) -> list[dict[str, str]]:
    """For each claim that quotes a row of a table, its cells by the names of their columns."""
    rows = dict[tuple[str, str], dict[str, str]]()
    for span in spans:
        if span.head is None:
            continue
        document = index.read_document(span.hit.passage.document)
        if any(a <= span.head[0] < b for a, b in document.metadata.get(TABLES, ())):
            start = span.hit.passage.start
            row = document.text[start + span.start : start + span.end].strip()
            cells = named_cells(document.text[slice(*span.head)], row)
            rows[document.path, row] = dict(cells)
    return [rows.get((claim.quotes[-1].path, claim.quotes[-1].text), {}) for claim in claims]


def _rest_of_list(index: OpenIndex, span: QuoteSpan) -> str:
    """Where the list goes on that the first quote ends in; empty if it ends there too."""
    passage = span.hit.passage
    document, end = index.read_document(passage.document), passage.start + span.end
    text, items = document.text, set(document.metadata.get(ITEMS, ()))
    last = text.rfind("\n", 0, end) + 1
    following = re.compile(r"\S").search(text, end)
    places = (last, following.start()) if following else ()
    if not places or not all(at in items or LIST_ITEM.match(text, at) for at in places):
        return ""
    return document.quote(places[1], places[1] + 1).location


def _claims_of(
    index: OpenIndex, spans: list[QuoteSpan], limit: int, firsts: list[QuoteSpan]
) -> list[Claim]:
    """The best spans as claims with one quote each; no text or sentence is quoted twice.

    firsts: the best of each part of the question, which are quoted whatever the others score
    """
    min_score = max(THRESHOLD, FURTHER_CLAIM_SHARE * spans[0].score)
    claims: list[Claim] = []
    shown: list[tuple[str, range]] = []
    said, quoted = set[str](), list[str]()
    for span in spans:
        if len(claims) == limit:
            break
        if claims and span.score < min_score and span not in firsts:
            continue
        passage = span.hit.passage
        document = index.read_document(passage.document)
        end = span.short_end if claims else span.end
        place = range(passage.start + span.start, passage.start + end)
        for id, other in shown:
            place = _not_quoted(place, other) if id == document.id else place
        text = document.text[place.start : place.stop]
        start, stop = place.stop - len(text.lstrip()), place.start + len(text.rstrip())
        parts = (text[part.start : part.end].lower() for part in split_sentences(text))
        sentences = ["".join(re.findall(r"\w+", part)) for part in parts]
        plain = "".join(sentences)  # without the marks of its format: a page may be there in two
        is_quoted = any(plain in each or each in plain for each in quoted)
        if is_quoted or 2 * sum(map(len, said.intersection(sentences))) >= len(plain):
            continue
        said.update(sentences)
        quoted.append(plain)
        ranges = [Sentence(start, stop, "row")]
        if span.head and (document.id, range(*span.head)) not in shown:  # of a table once
            ranges.insert(0, Sentence(*span.head, "row"))
            shown.append((document.id, range(*span.head)))
        cut = split_long(document.text, ranges, QUOTE_CHARACTERS)  # a long row is several quotes
        quotes = tuple(document.quote(part.start, part.end) for part in cut)
        claims.append(Claim("\n".join(each.text for each in quotes), quotes))
        shown.append((document.id, place))
    return claims


def _not_quoted(place: range, quoted: range) -> range:
    """What of a place is not quoted yet; nothing if most of it is."""
    start, end = max(place.start, quoted.start), min(place.stop, quoted.stop)
    if start >= end:
        return place
    if 2 * (end - start) >= len(place) or place.start < start < end < place.stop:
        return range(0)
    return range(end, place.stop) if start == place.start else range(place.start, start)
