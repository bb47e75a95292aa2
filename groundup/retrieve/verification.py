"""Verifies quotes of an answer, or the sentences of a text, against the documents themselves.

Quotes: the files are read again, independently of the index, of which only the files' hashes are
used. The file's text must have the quote at the quote's bytes (of a PDF: on its page). The answer
has each file's hash at indexing, so a file that changed since is reported even if it still contains
the quote.

Texts: each sentence is `quoted` if a document has it word for word, `supported` if one sentence, a
clause of it or a row covers its words, with the titles and heads above, has every name and number
and the same negations, and `nowhere` otherwise. A supported sentence is where to look, no proof.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from groundup.core import Answer, Claim, ConfigError, DataError, Quote
from groundup.documents import (
    ReadConfig,
    Record,
    decode,
    file_of,
    named_cells,
    read_data,
    split_sentences,
)

from .chunks.passage_text import PassageText
from .index import index as make_index
from .search import OpenIndex, current_name, open_index
from .wording.language import (
    FALLBACK,
    language_of,
    stem_words,
    stop_words,
    with_digits,
    word_pattern,
)
from .wording.question import (
    SUFFIX_CREDIT,
    Question,
    QuestionTerm,
    WeightedQuestion,
    numerals_of,
    term_credit,
    text_terms,
)

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
        failed = len({problem.quote for problem in self.problems})
        lines = [f"{problem.code}: {problem.message}" for problem in self.problems]
        proved = f"{self.quotes - failed} of {self.quotes} quotes are proved"
        return "\n".join([*lines, f"{proved} by files in {self.root}."])


def verify(
    answer: Path,
    *,
    index: Path | None = None,
    root: Path | None = None,
    against: Path | None = None,
) -> "Verification | TextCheck":
    """Check the quotes of a saved answer, or every sentence of a text, against the documents.

    Exit code 1 unless all quotes are proved, or every sentence is quoted or supported.

    answer   a file with what `groundup ask --json` printed, or a text; - reads standard input
    index    the index that answered: files that changed since it was made are reported too
    root     folder of the documents; default: the one that the answer, or the index, names
    against  check a text: a folder of documents, or an index of them

    Raises DataError if the file holds no answer, and ConfigError if the folder is unknown or gone.
    """
    try:
        text = sys.stdin.read() if str(answer) == "-" else decode(answer.read_bytes()).map.text
    except OSError as error:
        raise DataError(f"{answer} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, DataError) as error:
        raise DataError(f"{answer} cannot be read: it is no text ({error}).") from None
    if against is not None:
        return check_text(text, against)
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
        place = f"bytes {quote.start}-{quote.end} of {quote.path}"
        problem = f"{place} are not the quote: they are {found[:60]!r}"
        if quote.page:  # its bytes are no text
            problem = f"page {quote.page} of {quote.path} does not have the quote"
        return QuoteProblem(quote, "differs", f"{problem}.{since}")
    if not is_same:
        return QuoteProblem(quote, "changed", f"{quote.path} still has the quote.{since}")
    return None


def _is_in_file(data: bytes, file: str, quote: Quote) -> bool:
    if not 0 <= quote.start < quote.end:
        return False
    documents = read_data(file, data, ReadConfig(archives=True))
    return any(
        isinstance(each, Record) and each.path == quote.path and each.find(quote) >= 0
        for each in documents
    )


Support = Literal["quoted", "supported", "nowhere"]
MIN_SUPPORT = 0.75
"""Share of a sentence's terms that a passage must cover. Own choice."""
CHECKED_PASSAGES = 10
SUBJECT_WORDS = 4
"""What begins a sentence is of at most so many words, article or title included."""
CLAUSE = re.compile(r"[,;:]\s|\s[–—-]\s|\s\(|\s(?:and|but|while|und|aber|et|mais|y|pero|en|och)\s")
EQUATION = re.compile(r"\b(?:is|are|was|were|ist|sind|war|waren|est|sont|es|son|è|sono)\b", re.I)
ELLIPSIS = re.compile(r"(?:[^\W\d]+\s){1,4}\d[\w.,:%°€£$ ]{0,20}")
"""A clause that takes its verb from the one before: "the annex in 1954"."""
OPENING = re.compile(
    r"\A(?:In|At|On|From|By|For|After|Before|During|With|Within|Until|Since|Under)\s(?:the |an? )?"
    r"\w+[^,]*?(?:,\s|\s(?=the\b|an?\b|[A-Z]))"
)
"""What may stand before the subject: "In 1972 the"."""
SHORT = re.compile(r"[^\W\d]+(?: [^\W\d]+)?[ .;]*")
"""A clause that takes along the whole one before: "on Monday and Friday"."""
Cells = Sequence[tuple[str, str]]
Terms = Sequence[QuestionTerm]
NUMBER = re.compile(r"[-−+]?\d(?:[\d.,]*\d)?|[一二三四五六七八九十百千两兩]+")


class CheckedSentence(NamedTuple):
    """A sentence of a text and where the documents have it."""

    text: str
    support: Support
    source: str
    """Where that is, such as `path:line`; empty for `nowhere`."""


class TextCheck(NamedTuple):
    """The result of `groundup verify TEXT --against FOLDER`."""

    sentences: tuple[CheckedSentence, ...]

    @property
    def exit_code(self) -> int:
        """0 if every sentence is quoted or supported, else 1."""
        return int(any(sentence.support == "nowhere" for sentence in self.sentences))

    def __str__(self) -> str:
        lines = [
            f"{support:9s}  {' '.join(text.split())}" + (f"  [{source}]" if source else "")
            for text, support, source in self.sentences
        ]
        counts = Counter(sentence.support for sentence in self.sentences)
        return "\n".join([*lines, ", ".join(f"{counts[k]} {k}" for k in get_args(Support))])


def check_text(text: str, against: Path) -> TextCheck:
    """Mark every sentence of a text by what a folder of documents, or an index, has of it.

    Raises DataError for a text without sentences, and what `index` raises for a folder.
    """
    sentences = [text[s.start : s.end] for s in split_sentences(text) if s.kind != "heading"]
    if not sentences:
        raise DataError("The text has no sentence to check.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if current_name(against) is None:
            make_index(against, Path(folder) / "index")
            against = Path(folder) / "index"
        opened = open_index(against)
        return TextCheck(tuple(_check_sentence(opened, sentence) for sentence in sentences))


def _check_sentence(index: OpenIndex, sentence: str) -> CheckedSentence:
    parsed, language = index.parse(sentence), index.languages[0] if index.languages else FALLBACK
    said = with_digits(sentence, language_of(sentence, language))
    terms = index.parse(said).terms
    wanted = WeightedQuestion(Question(terms), [index.term_weight(term) for term in terms])
    if not sum(wanted.weights):
        return CheckedSentence(sentence, "nowhere", "")
    plain, supported = _plain(sentence), ""
    for hit in index.lexical.search_terms(parsed, CHECKED_PASSAGES):
        document = index.read_document(hit.passage.document)
        text = PassageText(hit, document, index.entries[hit.passage.document].language)
        start = text.passage.start
        for at, unit in enumerate(text.units):  # whole: not "open it" of "do not open it"
            place = document.quote(start + unit.start, start + unit.end)
            runs = [text.passage.text[unit.start : last.end] for last in text.units[at : at + 3]]
            runs += re.split(r"[\t\n|,;\"]|(?<=[.!?])\s", runs[0]) if unit.kind == "row" else []
            if any(_plain(run) == plain for run in runs):
                return CheckedSentence(sentence, "quoted", place.location)
            is_title = unit.kind == "heading"
            if not supported and not is_title and _supports(text, at, said, wanted):
                supported = place.location
    return CheckedSentence(sentence, "supported" if supported else "nowhere", supported)


def _supports(text: PassageText, at: int, sentence: str, wanted: WeightedQuestion) -> bool:
    """Whether a sentence, a clause of it or a row has the words, names, numbers and negations."""
    above, head = wanted.credits_for(text.outer), text.heads[at]
    line = with_digits(text.texts[at], text.language)
    titles = [text.texts[number] for _, number in text.sections[at]]
    named = " ".join([*titles, text.document.text[slice(*head)] if head else ""])
    names = text_terms(named, text.language)
    outer = [max(each) for each in zip(above, wanted.credits_for(names), strict=True)]
    claim = _ClaimedText(sentence, wanted, text.language, outer)
    if pronoun := word_pattern("subject").match(line):  # "She carries 40": what "The ferry" is
        before = OPENING.sub("", text.antecedent(at)).split()[:SUBJECT_WORDS]
        line = f"{claim.subject(' '.join(before)) or pronoun[0]}{line[pronoun.end() :]}"
    if text.units[at].kind == "row":
        cells = named_cells(text.document.text[slice(*head)], line) if head else []
        line = " | ".join(cell for _, cell in cells) or line  # "6,1971" is no number
        is_of_row = _is_row_of(text, cells, sentence, claim.lacking(line))
        return is_of_row and claim.is_said_by(line, line, is_row=True)
    if claim.lacks_condition(line):
        return False
    parts = claim.clauses(line)
    if not any(wanted.share(claim.cover(part)) >= MIN_SUPPORT for part in parts):
        is_whole = claim.is_in_order(line) and claim.numbers_are_of(line)
        parts += [line] if is_whole or claim.has_all(line) else []
    return any(claim.is_said_by(part, line) and not claim.is_turned(part) for part in parts)


class _ClaimedText(NamedTuple):
    """A sentence that is compared with those of a document."""

    sentence: str
    wanted: WeightedQuestion
    language: str
    outer: Sequence[float]
    """The credit of each term for the titles and heads above."""

    def cover(self, part: str) -> list[float]:
        """The credit of each term for a clause and what stands above it."""
        own = self.wanted.credits_for(text_terms(part, self.language))
        return [max(each) for each in zip(own, self.outer, strict=True)]

    def lacking(self, part: str) -> list[QuestionTerm]:
        """The terms that neither a clause nor what stands above it has."""
        pairs = zip(self.wanted.question.terms, self.cover(part), strict=True)
        return [term for term, credit in pairs if credit < SUFFIX_CREDIT]

    @property
    def first(self) -> QuestionTerm | None:
        """Its first word but numbers, which is most likely its subject."""
        words = (term for term in self.wanted.question.terms if not term.text.isdigit())
        return next(words, None)

    def has_first(self, part: str) -> bool:
        """Whether a clause has its first word."""
        words = text_terms(part, self.language)
        return self.first is None or term_credit(self.first, words) >= SUFFIX_CREDIT

    def has_all(self, line: str) -> bool:
        """Whether a line has all its words and a condition, as it has."""
        return word_pattern("condition").search(line) is not None and not self.lacking(line)

    def is_said_by(self, part: str, line: str, is_row: bool = False) -> bool:
        """Whether a clause of a line has its words, names, limits, numbers and negations.

        A word that the clause lacks and another clause has is of that one.
        """
        lacking, elsewhere = self.lacking(part), text_terms(line, self.language)
        if any(t.is_name or term_credit(t, elsewhere) >= SUFFIX_CREDIT for t in lacking):
            return False
        is_same = all(
            set(pattern.findall(self.sentence.lower())) <= set(pattern.findall(part.lower()))
            for pattern in (NUMBER, numerals_of(self.language), word_pattern("exact"))
        )
        denials = [len(word_pattern("negation").findall(p)) for p in (self.sentence, part)]
        is_same = is_same and (denials[0] == denials[1] or is_row and denials[1] > 0)
        is_same = is_same and (is_row or _limits(self.sentence) <= _limits(part))
        return is_same and self.wanted.share(self.cover(part)) >= MIN_SUPPORT

    def clauses(self, line: str) -> list[str]:
        """The clauses of a line that may be about its first word, each with what it takes along.

        "The hut was built in 1911, the annex in 1954": the second clause takes the verb. One that
        begins without a subject, "and holds 3 litres", takes that of the first, and a short one,
        "on Monday and Friday", the clause before. All take what opens the line: "In winter the …".
        """
        parts, whole = CLAUSE.split(line), list[str]()
        opening = OPENING.match(line)
        for number, part in enumerate(parts):
            is_short = SHORT.fullmatch(part) and not word_pattern("negation").search(part)
            if number and ELLIPSIS.fullmatch(part.rstrip(" .;")):
                before = _words_of(" ".join(parts[:number]))
                part = f"{part} {before}" if self.has_first(part) else part
            elif number and is_short:
                part = f"{whole[-1]} {part}"
            elif number and not self.begins_with_subject(part):
                part = f"{self.subject(parts[0])} {part}"
            whole.append(f"{opening[0]} {part}" if number and opening else part)
        has = [self.has_first(part) for part in whole]
        return [
            part for n, part in enumerate(whole) if has[n] or not n and not self.has_first(line)
        ]

    def subject(self, part: str) -> str:
        """Its first words, as they stand side by side in a clause: "The Harrow Lane Clinic"."""
        found, end = list[str](), -1
        for term in self.wanted.question.terms:
            at = part.lower().find(term.text.lower(), max(end, 0))
            if at < 0 or end >= 0 and len(part[end:at].split()) > 1:
                break
            found, end = [*found, term.text], at + len(term.text)
        return " ".join(found)

    def begins_with_subject(self, text: str) -> bool:
        """Whether a clause begins with an article, a possessive or a name."""
        first = re.match(r"[A-ZÄÖÜ][\w'-]*", text)
        is_name = first is not None and first[0].lower() not in stop_words()[self.language]
        return is_name or any(word_pattern(k).match(text) for k in ("article", "pronoun"))

    def numbers_are_of(self, line: str) -> bool:
        """Whether no number of its is of a clause with another subject."""
        numbers = set(NUMBER.findall(self.sentence))
        parts = [part for part in CLAUSE.split(line) if numbers & set(NUMBER.findall(part))]
        return all(self.has_first(part) or not self.begins_with_subject(part) for part in parts)

    def lacks_condition(self, line: str) -> bool:
        """Whether a line holds only under a condition that the sentence does not state."""
        condition = word_pattern("condition")
        return condition.search(line) is not None and not condition.search(self.sentence)

    def is_turned(self, line: str) -> bool:
        """Whether two things change places in it: "The mouse ate the cat".

        "99 is the maximum" is "the maximum is 99", "the mill's wheel" is that of the mill, and a
        passive turns its sentence rightly.
        """
        both = (self.sentence, line)
        passive = [word_pattern("passive").search(each) is not None for each in both]
        if len({"'s " in each or "’s " in each for each in both}) > 1:
            return False
        if passive[0] != passive[1] or EQUATION.search(self.sentence) and not passive[0]:
            return False
        starts = [OPENING.sub("", each) for each in both]
        if not all(map(self.begins_with_subject, starts)):
            return False
        own, other = map(str.lower, starts)
        terms = [term for term in self.wanted.question.terms if not re.search(r"\d", term.text)]
        terms = [term for term in terms if term.text.lower() in own and term.text.lower() in other]
        if len(terms) < 2:
            return False
        names = next((n for n, term in enumerate(terms) if not term.is_name), len(terms) - 1)
        pairs = [(max(0, names - 1), max(1, names))]
        pairs += [(0, len(terms) - 1)] if list(both) == starts else []
        places = ([terms[each].text.lower() for each in pair] for pair in pairs)
        return any(other.rfind(later) < other.find(first) for first, later in places)

    def is_in_order(self, line: str) -> bool:
        """Whether a line has its words in the same order, with no other name between."""
        words = [term.text.lower() for term in self.wanted.question.terms]
        both = [word for word in words if word in self.sentence.lower() and word in line.lower()]
        asked, said = ([text.lower().find(word) for word in both] for text in (self.sentence, line))
        order = [place for _, place in sorted(zip(asked, said, strict=True))]
        between = line[min(said, default=0) + 1 : max(said, default=0)]
        names = re.findall(r"(?<=[\w,;)] )[A-Z]\w+", between) if self.language != "german" else []
        is_same = all(name.lower() in self.sentence.lower() for name in names)
        return order == sorted(order) and is_same


def _words_of(text: str) -> str:
    """A text without its numbers and negations, which are of its own clauses."""
    return word_pattern("negation").sub(" ", NUMBER.sub(" ", text))


def _limits(text: str) -> set[tuple[str, str]]:
    """The numbers of a text that a limit stands before: ("up to", "40")."""
    found, limit = set[tuple[str, str]](), word_pattern("limit", r"\s+(?:the )?\Z")
    for match in NUMBER.finditer(text):
        if before := limit.search(text[: match.start()]):
            found.add((before[0].strip().lower(), match[0]))
    return found


def _is_row_of(text: PassageText, cells: Cells, sentence: str, lacking: Terms) -> bool:
    """Whether a sentence is of this row of a table, and its numbers of the columns that it names.

    A word that the row lacks and another row has is of that one.
    """
    rows = (terms for unit, terms in zip(text.units, text.terms, strict=True) if unit.kind == "row")
    if any(term_credit(term, row) >= SUFFIX_CREDIT for row in rows for term in lacking):
        return False
    said = set(stem_words(sentence, text.language))
    named = [(bool(said & set(stem_words(name, text.language))), cell) for name, cell in cells]
    for number in NUMBER.findall(sentence) if any(is_named for is_named, _ in named) else ():
        columns = [is_named for is_named, cell in named if number in NUMBER.findall(cell)]
        if columns and not any(columns):
            return False
    return True


def _plain(text: str) -> str:
    """Words, signed numbers and signs of size alone, in lower case, with single spaces."""
    words = re.findall(rf"{NUMBER.pattern}|[^\W\d_]+|[<>=≤≥%°€£$]", text.lower())
    return f" {' '.join(words)} "
