"""Answers a question with quotes, or with "not in these documents"; without a model.

BM25 finds passages; in each, spans.py finds the run of sentences that covers most of the question.
Its score is in [0, 1] and comparable between questions and collections. If the best score is below
THRESHOLD, the question is refused.
"""

import os
import shlex
from pathlib import Path
from textwrap import indent
from typing import Any

from groundup.core import Answer, Claim, ConfigError, Quote

from .search import OpenIndex, open_index
from .spans import QuoteSpan, WeightedQuestion, best_span
from .terms import QuestionTerm, QuestionTerms, parse_question
from .verify import changed_files

THRESHOLD = 0.6
"""Minimum score of an answer: benchmarks/evaluate/refusal.py, docs/reference/retrieve.md."""
NOT_FOUND = "not in these documents"

MAX_CANDIDATES = 60
BM25_WEIGHT = 0.2
"""Weight of the passage's BM25 score, relative to the best one's, in the order of quotes."""
FURTHER_CLAIM_SHARE = 0.85
"""Minimum score of a further quote, as a share of the first one's."""


def ask(question: str, index: Path, *, limit: int = 3) -> Answer:
    """Answer a question from an index with quotes, or refuse.

    question  what you want to know, in words that the documents may use
    index     directory that `groundup index` made
    limit     maximum number of quotes

    Raises ConfigError for an empty question or a limit below 1, and ArtifactError for a missing or
    damaged index.
    """
    if os.path.isdir(question) and not os.path.isdir(index):
        raise ConfigError(
            f"The question is the folder {question}: question and index are swapped; run: "
            f"groundup ask {shlex.quote(str(index))} --index {shlex.quote(question)}"
        )
    return answer_question(open_index(index), question, limit)


def answer_question(index: OpenIndex, question: str, limit: int = 3) -> Answer:
    """Answer a question from an open index, for many questions."""
    if not question.strip():
        raise ConfigError("The question is empty; ask something, such as: groundup ask 'How …?'")
    if limit < 1:
        raise ConfigError(f"limit={limit} must be at least 1: it is the number of quotes.")
    parsed = parse_question(question)
    spans = _find_spans(index, parsed)
    best = max((span.score for span in spans), default=0.0)
    details: dict[str, Any] = {
        "score": round(best, 4),
        "threshold": THRESHOLD,
        "terms": [term.text for term in parsed.terms],
        "index": index.artifact.id,
        "missing": [term.text for term in parsed.terms if not _is_indexed(index, term)],
        "root": index.root,
    }
    if parsed.truncation_note:
        details["cut"] = parsed.truncation_note
    if best < THRESHOLD:
        return Answer(NOT_FOUND, refused=True, details=details)
    claims = tuple(claim for claim in _claims_of(index, spans, limit))
    quotes = [quote for claim in claims for quote in claim.quotes]
    details["files"] = {quote.path: index.sha256_by_path[quote.path] for quote in quotes}
    details |= _changes_since_indexing(index, details["files"])
    return Answer("\n\n".join(claim.text for claim in claims), claims=claims, details=details)


def _changes_since_indexing(index: OpenIndex, files: dict[str, str]) -> dict[str, Any]:
    """Which of the quoted files changed since they were indexed, if the folder is known."""
    if index.root is None:
        return {}
    if not Path(index.root).is_dir():
        note = f"{index.root} does not exist any more: the files were not compared with the index"
        return {"since": note}
    changed = changed_files(files, Path(index.root))
    if not changed:
        return {"changed": []}
    what = ", ".join(f"{path} {how}" for path, how in changed.items())
    note = f"{what} since it was indexed; run again: {index.update_command}"
    return {"changed": list(changed), "since": note}


def _is_indexed(index: OpenIndex, term: QuestionTerm) -> bool:
    if term.name is not None and index.lexical.document_frequency("names", term.name):
        return True
    return bool(term.stems) and all(index.stem_frequency(stem) for stem in term.stems)


def _find_spans(index: OpenIndex, parsed: QuestionTerms) -> list[QuoteSpan]:
    """The best run of sentences of each found passage, best first."""
    weighted = WeightedQuestion(parsed, [index.term_weight(term) for term in parsed.terms])
    if not sum(weighted.weights):
        return []
    hits = index.lexical.search_terms(parsed, MAX_CANDIDATES)
    found = (best_span(hit, index.read_document(hit.passage.document), weighted) for hit in hits)
    spans = [
        span._replace(rank=span.rank + BM25_WEIGHT * span.hit.score / hits[0].score)
        for span in found
        if span is not None
    ]
    return sorted(spans, key=lambda span: (-span.rank, span.hit.passage.id))


def _claims_of(index: OpenIndex, spans: list[QuoteSpan], limit: int) -> list[Claim]:
    """The best spans as claims with one quote each; equal texts are quoted once."""
    min_score = max(THRESHOLD, FURTHER_CLAIM_SHARE * spans[0].score)
    claims: dict[str, Claim] = {}
    for span in spans:
        if len(claims) == limit or (claims and span.score < min_score):
            continue
        passage = span.hit.passage
        document = index.read_document(passage.document)
        quote = document.quote(passage.start + span.start, passage.start + span.end)
        claims.setdefault(" ".join(quote.text.split()), Claim(quote.text, (quote,)))
    return list(claims.values())


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values; start and end are bytes of the file.

    {"answer", "refused", "claims": [{"text", "quotes": [{"path", "start", "end", "text"}]}],
     "root", "changed", "score", "threshold", "missing"}

    score is the best quote's; below the threshold the question is refused. missing has the words of
    the question that are not in the index. root is the indexed folder that paths are relative to,
    or null if unknown; changed has the quoted files that differ from what was indexed, or null if
    they were not compared.
    """
    return {
        "answer": answer.text,
        "refused": answer.refused,
        "claims": [
            {
                "text": claim.text,
                "quotes": [
                    {"path": q.path, "start": q.start, "end": q.end, "text": q.text}
                    for q in claim.quotes
                ],
            }
            for claim in answer.claims
        ],
        "root": answer.details.get("root"),
        "changed": [] if answer.refused else answer.details.get("changed"),
        **{name: answer.details.get(name) for name in ("score", "threshold", "missing")},
    }


def answer_to_text(answer: Answer) -> str:
    """The answer as text: every quote with its file, line and byte range below it.

    A refusal lists the words that are not in the index; a truncated question, what was read. The
    last line lists quoted files that changed since they were indexed.
    """
    cut = answer.details.get("cut", "")
    missing = answer.details.get("missing", ()) if answer.refused else ()
    missing_note = f"nowhere: {', '.join(missing)}" if missing else ""
    notes = "; ".join(note for note in (missing_note, cut) if note)
    if answer.refused or not answer.claims:
        return answer.text + (f" ({notes})" if notes else "")
    quoted = [
        f"{indent(claim.text.strip(), '  ')}\n{_quote_sources(claim.quotes)}"
        for claim in answer.claims
    ]
    footers = [f"({notes})" if notes else "", answer.details.get("since", "")]
    return "\n\n".join([*quoted, *filter(None, footers)])


def _quote_sources(quotes: tuple[Quote, ...]) -> str:
    return "\n".join(f"    {q.path}:{q.line} (bytes {q.start}-{q.end})" for q in quotes)
