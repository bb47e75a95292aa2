"""Answers a question with quotes, or with "not in these documents", and verifies such answers.

No model is used. BM25 finds passages; in each, spans.py finds the run of sentences that covers most
of the question. Its score is in [0, 1] and comparable between questions and collections. If the
best score is below THRESHOLD, the question is refused.

Verification reads the quoted files again and is independent of the index, of which only the files'
hashes are used. For text, Markdown and Python the decoded bytes must equal the quote. For HTML the
bytes, parsed again, must give the quote apart from white space. The answer has each file's hash at
indexing, so a file that changed since is reported even if it still contains the quote.
"""

import bisect
import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, Literal, NamedTuple

from groundup.core import Answer, Claim, ConfigError, DataError, Quote, hash_file
from groundup.documents import Rejected

from .question import QuestionTerm
from .quote import TITLE_CREDIT, PassageText, QuoteSpan, WeightedQuestion, best_span
from .reading import PAGES, ReadConfig, read_data
from .search import OpenIndex, file_of, open_index

THRESHOLD = float(os.environ.get("THR", "0.6"))
"""Minimum score of an answer: benchmarks/evaluate/refusal.py, docs/reference/retrieve.md."""
NOT_FOUND = "not in these documents"

MAX_CANDIDATES = 20
MIN_WEIGHT = 2.0
"""Smallest weight of a term, nats: a frequent word, such as "default", may be what is asked."""
WHOLE_SCORE = 0.95
"""Score of a quote that answers all parts of a question."""
BM25_WEIGHT = 0.2
"""Weight of the passage's BM25 score, relative to the best one's, in the order of quotes."""
SAME_QUOTE = 0.8
"""Share of words in common, of both together, above which two quotes say the same: a page in two
formats, an old version of a file."""
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
    answer = _answer(index, question, limit)
    if not answer.refused:
        return answer
    asked, meant = question, {}
    for term in index.parse(question).terms:
        if not _is_indexed(index, term) and (word := index.meant_word(term)):
            meant[term.text] = word
            asked = re.sub(rf"\b{re.escape(term.text)}\b", word, asked)
    if meant:
        answer.details["did_you_mean"] = meant
        other = _answer(index, asked, limit)
        if not other.refused:
            other.details.update(did_you_mean=meant, missing=answer.details["missing"])
            return other
    return answer


def _answer(index: OpenIndex, question: str, limit: int) -> Answer:
    parsed = index.parse(question)
    wanted = WeightedQuestion(parsed, [max(MIN_WEIGHT, index.term_weight(t)) for t in parsed.terms])
    texts: dict[str, PassageText] = {}
    spans = _find_spans(index, wanted, texts)
    parts = [_find_spans(index, wanted.part(indices), texts) for indices in parsed.parts]
    firsts = [part[0] for part in parts if part and part[0].score >= THRESHOLD]
    best = max((span.score for span in [*spans, *firsts]), default=0.0)
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
        details |= _explain_refusal(index, wanted, spans)
        return Answer(NOT_FOUND, refused=True, details=details)
    ordered = _order_spans(spans, firsts)
    claims = tuple(_claims_of(index, ordered, limit))
    quotes = [quote for claim in claims for quote in claim.quotes]
    files = [file_of(quote.path, index.sha256_by_path.__contains__) for quote in quotes]
    details["files"] = {file: index.sha256_by_path[file] for file in files}
    details |= _changes_since_indexing(index, details["files"])
    return Answer("\n\n".join(claim.text for claim in claims), claims=claims, details=details)


def _explain_refusal(
    index: OpenIndex, wanted: WeightedQuestion, spans: list[QuoteSpan]
) -> dict[str, Any]:
    """What the nearest passage has of the question, where it is, and what was not read at all."""
    details: dict[str, Any] = {"left_out": index.left_out}
    if spans:
        nearest = max(spans, key=lambda span: span.score)
        pairs = list(zip(wanted.question.terms, nearest.covered, strict=True))
        details["found"] = [term.text for term, credit in pairs if credit >= TITLE_CREDIT]
        passage = nearest.hit.passage
        line = index.read_document(passage.document).map.line(passage.start + nearest.start)
        details["nearest"] = f"{passage.path}:{line}"
    return details


def _changes_since_indexing(index: OpenIndex, files: dict[str, str]) -> dict[str, Any]:
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


def _find_spans(
    index: OpenIndex, wanted: WeightedQuestion, texts: dict[str, PassageText]
) -> list[QuoteSpan]:
    """The best run of sentences of each found passage, best first; `texts` keeps the passages."""
    if not sum(wanted.weights):
        return []
    hits = index.lexical.search_terms(wanted.question, MAX_CANDIDATES)
    spans = []
    for hit in hits:
        passage = hit.passage
        if passage.id not in texts:
            language = index.entries[passage.document].language
            document = index.read_document(passage.document)
            texts[passage.id] = PassageText(hit, document, language)
        if span := best_span(texts[passage.id], wanted):
            rank = span.rank + BM25_WEIGHT * hit.score / hits[0].score
            spans.append(span._replace(rank=rank))
    return sorted(spans, key=lambda span: (-span.rank, span.hit.passage.id))


def _order_spans(spans: list[QuoteSpan], firsts: list[QuoteSpan]) -> list[QuoteSpan]:
    """The spans of the whole question and the best of its parts, in the order to be quoted."""
    if not firsts or spans and spans[0].score >= WHOLE_SCORE:
        return spans
    if spans and spans[0].score >= THRESHOLD:
        return [spans[0], *firsts, *spans[1:]]
    return [*firsts, *spans]


def _claims_of(index: OpenIndex, spans: list[QuoteSpan], limit: int) -> list[Claim]:
    """The best spans as claims with one quote each; equal texts are quoted once."""
    min_score = max(THRESHOLD, FURTHER_CLAIM_SHARE * spans[0].score)
    claims: list[Claim] = []
    shown: list[set[str]] = []
    for span in spans:
        if len(claims) == limit or (claims and span.score < min_score):
            continue
        passage = span.hit.passage
        document = index.read_document(passage.document)
        start = passage.start + span.start
        pages = document.metadata.get(PAGES, ())
        quote = document.quote(start, passage.start + span.end)
        quote = quote._replace(page=bisect.bisect_right(pages, start))
        quotes = (document.quote(*span.head), quote) if span.head else (quote,)
        text = "\n".join(each.text for each in quotes)
        words = set(re.findall(r"\w+", quote.text.lower()))
        if all(len(words & old) < SAME_QUOTE * len(words | old) for old in shown):
            claims.append(Claim(text, quotes))
            shown.append(words)
    return claims


DETAILS = ("score", "threshold", "terms", "missing", "found", "nearest", "did_you_mean", "left_out")


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
                    | ({"page": q.page} if q.page else {})
                    for q in claim.quotes
                ],
            }
            for claim in answer.claims
        ],
        "root": answer.details.get("root"),
        "changed": [] if answer.refused else answer.details.get("changed"),
        **{name: answer.details.get(name) for name in DETAILS},
    }


def answer_to_text(answer: Answer) -> str:
    """The answer as text: every quote with its file, line and byte range below it.

    A refusal lists the words that are not in the index; a truncated question, what was read. The
    last line lists quoted files that changed since they were indexed.
    """
    details = answer.details
    cut, meant = details.get("cut", ""), details.get("did_you_mean") or {}
    words = ", ".join(f"{word} for {typed}" for typed, word in meant.items())
    if answer.refused or not answer.claims:
        missing, found = details.get("missing") or (), details.get("found") or ()
        elsewhere = [t for t in details.get("terms", ()) if t not in (*missing, *found)]
        lines = [
            f"nowhere: {', '.join(missing)}" if missing else "",
            f"did you mean {words}?" if words else "",
            f"nearest is {details['nearest']}, with: {', '.join(found)}" if found else "",
            f"not near it: {', '.join(elsewhere)}" if found and elsewhere else "",
            f"{details['left_out']} files were not read" if details.get("left_out") else "",
            cut,
        ]
        return "\n  ".join([answer.text, *filter(None, lines)])
    notes = "; ".join(filter(None, (f"for {words}" if words else "", cut)))
    quoted = [
        f"{indent(claim.text.strip(), '  ')}\n{_quote_sources(claim.quotes)}"
        for claim in answer.claims
    ]
    footers = [f"({notes})" if notes else "", answer.details.get("since", "")]
    return "\n\n".join([*quoted, *filter(None, footers)])


def _quote_sources(quotes: tuple[Quote, ...]) -> str:
    return "\n".join(
        f"    {q.path}, page {q.page}"
        if q.page
        else f"    {q.path}:{q.line} (bytes {q.start}-{q.end})"
        for q in quotes
    )


MAX_FILE_BYTES = 64 * 2**20
"""Maximum file size; `groundup index` skips larger files."""

ProblemCode = Literal["outside", "missing", "changed", "differs"]


class QuoteProblem(NamedTuple):
    """Why a quote is not verified, or its file has changed."""

    quote: Quote
    code: ProblemCode
    """outside: the path leaves the folder; missing: no such file; changed: the file changed since
    indexing but has the quote; differs: the bytes are not the quote."""
    message: str


class Verification(NamedTuple):
    """The result of `groundup verify`."""

    root: str
    """The folder whose files were read."""
    quotes: int
    problems: tuple[QuoteProblem, ...]

    @property
    def exit_code(self) -> int:
        """0 if every quote is proved, else 1."""
        return int(bool(self.problems))

    def __str__(self) -> str:
        """One line for each problem, then how many quotes are proved."""
        failed = len({problem.quote for problem in self.problems})
        lines = [f"{problem.code}: {problem.message}" for problem in self.problems]
        summary = (
            f"{self.quotes - failed} of {self.quotes} quotes are proved by files in {self.root}"
        )
        return "\n".join([*lines, f"{summary}."])


def verify(answer: Path, *, index: Path | None = None, root: Path | None = None) -> Verification:
    """Check the quotes of a saved answer against the documents; exit code 1 unless all are proved.

    answer  a file with what `groundup ask --json` printed; - reads standard input
    index   the index that answered: files that changed since it was made are reported too
    root    folder of the documents; default: the one that the answer, or the index, names

    Raises DataError if the file holds no answer, and ConfigError if the folder is unknown or gone.
    """
    try:
        text = sys.stdin.read() if str(answer) == "-" else answer.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{answer} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{answer} cannot be read: it is not UTF-8.") from None
    saved, named = _parse_answer(text, answer)
    opened = None if index is None else open_index(index)
    folder = root or named or (opened.root if opened else None)
    if folder is None or not Path(folder).is_dir():
        what = "names no folder" if folder is None else f"is of {folder}, which is no folder"
        raise ConfigError(f"{answer} {what}; give --root FOLDER of the documents.")
    if opened is not None:
        saved.details["files"] = opened.sha256_by_path
    problems = verify_quotes(saved, Path(folder))
    return Verification(str(folder), sum(len(c.quotes) for c in saved.claims), tuple(problems))


def _parse_answer(text: str, path: Path) -> tuple[Answer, str | None]:
    try:
        data: dict[str, Any] = json.loads(text)
        claims = [
            Claim(claim["text"], tuple(Quote(**quote, line=0) for quote in claim["quotes"]))
            for claim in data["claims"]
        ]
        quotes = [quote for claim in claims for quote in claim.quotes]
        types = {(type(q.path), type(q.text), type(q.start), type(q.end)) for q in quotes}
        if types - {(str, str, int, int)} or not all(claim.quotes for claim in claims):
            raise ValueError
        answer = Answer(data["answer"], refused=data["refused"], claims=tuple(claims))
        root = data.get("root")
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} holds no answer of `groundup ask --json`; save one with: "
            "groundup ask QUESTION --index INDEX --json > answer.json"
        ) from None
    if not claims and not answer.refused:
        raise DataError(f"{path} has an answer without quotes, which proves nothing; ask again.")
    return answer, root if isinstance(root, str) else None


def verify_quotes(answer: Answer, root: Path) -> list[QuoteProblem]:
    """Read every quoted file under `root` again; return the problems, [] if all quotes hold."""
    quotes = [quote for claim in answer.claims for quote in claim.quotes]
    indexed = answer.details.get("files", {})
    problems = (_check_quote(quote, Path(root), indexed) for quote in quotes)
    return [problem for problem in problems if problem is not None]


def changed_files(indexed: Mapping[str, str], root: Path) -> dict[str, str]:
    """How files under `root` differ from what was indexed: "has changed", "is gone".

    indexed: sha256 by path. A file too large to be indexed has changed; it is not read.
    """
    changed: dict[str, str] = {}
    for path, sha256 in indexed.items():
        try:
            file = root / path
            if not file.is_file():
                changed[path] = "is gone"
            elif file.stat().st_size > MAX_FILE_BYTES or hash_file(file) != sha256:
                changed[path] = "has changed"
        except OSError:
            changed[path] = "cannot be read"
    return changed


def _check_quote(quote: Quote, root: Path, indexed: Mapping[str, str]) -> QuoteProblem | None:
    file = file_of(quote.path, lambda name: (root / name).is_file())
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        return QuoteProblem(quote, "outside", f"{quote.path} is not inside {root}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        return QuoteProblem(quote, "missing", f"{path} cannot be read: {error.strerror}.")
    is_same = indexed.get(file) in (None, hashlib.sha256(data).hexdigest())
    since = "" if is_same else " The file changed since it was indexed; index it again."
    if not _is_in_file(data, file, quote):
        found = data[quote.start : quote.end].decode("utf-8", "replace")
        problem = f"bytes {quote.start}-{quote.end} of {quote.path} are not the quote"
        return QuoteProblem(quote, "differs", f"{problem}: they are {found[:60]!r}.{since}")
    if not is_same:
        return QuoteProblem(quote, "changed", f"{quote.path} still has the quote.{since}")
    return None


def _is_in_file(data: bytes, file: str, quote: Quote) -> bool:
    """Whether a file, read again, has the quote's text at the quote's bytes."""
    if not 0 <= quote.start < quote.end:
        return False
    for document in read_data(file, data, ReadConfig(archives=True)):
        if isinstance(document, Rejected) or document.path != quote.path:
            continue
        at = document.text.find(quote.text)
        while at >= 0:
            end = at + len(quote.text)
            page = bisect.bisect_right(document.metadata.get(PAGES, ()), at)
            if document.map.byte_range(at, end) == (quote.start, quote.end):
                return quote.page in (0, page)
            at = document.text.find(quote.text, at + 1)
    return False
