"""Verifies the sentences of a text against documents.

Each is `quoted` if a document has it word for word, `supported` if it is made of one sentence, a
clause of it or a row, with the titles and heads above, by edits that keep what it says
(wordings.py), and `nowhere` otherwise. A supported sentence is where to look, no proof. A second
opinion (opinions.py) overrules the rules where it is sure; what a list allows needs no source.
"""

import re
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from groundup.core import DataError, Hit
from groundup.documents import Record, decode, named_cells, read_data, split_sentences

from ..chunks.chunk import chunk_document
from ..chunks.passage_text import SETTING, PassageText
from ..index import index as make_index
from ..search import OpenIndex, open_index
from ..snapshots import current_name
from ..wording.language import (
    FALLBACK,
    language_of,
    says_opposite,
    stem_words,
    word_pattern,
)
from ..wording.question import (
    SPLIT_NAME_CREDIT,
    SUFFIX_CREDIT,
    Question,
    QuestionTerm,
    WeightedQuestion,
    parse_question,
    term_credit,
    text_terms,
)
from .alignment import NUMBER, words_of
from .quantities import NAMES, with_quantities, without_days
from .wordings import NOTE, SOURCE, bare, follows

if TYPE_CHECKING:
    from .opinions import SecondOpinion

Support = Literal["quoted", "supported", "allowed", "nowhere"]
CHECKED_PASSAGES = 10
REJECTED, SUPPORTED = -4.0, 4.0
"""Log-odds below which an opinion refuses what rules support, or above which it supports more."""
INLINE = re.compile(r"""["']?([^\W\d][\w .-]*)["']?\s*[:=]\s*("[^"]*"|[^,{}\s][^,{}\n]*)""")
"""Settings of which a line has several: {"gale": 34, "storm": 48}."""
ABSENT_WEIGHT = 3.0
"""Weight of a word that a passage lacks, without an index to say how rare it is. Of 298 true claims
whose subject was replaced by a word of another document 274 are nowhere, 172 with a weight of 1; as
many true ones are supported (2026-12-01)."""
MIN_SUPPORT = 0.75
"""Share of a sentence's terms that a row must cover. Own choice."""
ROW_PART = re.compile(r"[\t\n|,;\"]|(?<=[.!?])\s")
LETTER_END = re.compile(r"(?<=[a-z] [A-Z]\.)\s+(?=[A-Z])")
KEY = re.compile(r"[^\W\d_]\d")
"""In the name of a row, such as B1, whose number is of no column."""
PASSAGE_FILES = (".csv", ".tsv", ".md", ".rst")
"""Files whose passages can be read as the file is: in others a part is not well-formed."""
PRICED = re.compile(r"(?:costs?|pays?|koste[nt]|zahl(?:t|en))(?: [\d.,]+)?", re.IGNORECASE)
"""What says that a number of a table is a price, and is in no cell."""
Cells = Sequence[tuple[str, str]]
Terms = Sequence[QuestionTerm]


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
        kinds = [kind for kind in get_args(Support) if kind != "allowed" or counts[kind]]
        return "\n".join([*lines, ", ".join(f"{counts[kind]} {kind}" for kind in kinds)])


def check_text(text: str, against: Path, critic: str = "", allow: Path | None = None) -> TextCheck:
    """Mark every sentence of a text by what a folder of documents, or an index, has of it.

    critic  a second opinion: see opinions.py; empty: none
    allow   file of sentences, a line each, that may stand without a source

    Raises DataError for a text without sentences, and what `index` raises for a folder.
    """
    text = NOTE.sub("", text)
    sentences = [text[s.start : s.end] for s in split_sentences(text) if s.kind != "heading"]
    if not sentences:
        raise DataError("The text has no sentence to check.")
    permitted = read_text(allow).splitlines() if allow else []
    allowed = {_plain(line) for line in permitted if line.strip()}
    asked: SecondOpinion | None = None
    if critic:
        from .opinions import open_opinion  # imports torch

        asked = open_opinion(critic)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if current_name(against) is None:
            make_index(against, Path(folder) / "index")
            against = Path(folder) / "index"
        opened, checked = open_index(against), list[CheckedSentence]()
        known = PlainTexts(opened)
        for each in sentences:
            if rows := _check_rows(known, each):
                checked += rows
                continue
            one = _check_sentence(known, each, asked)
            if one.support == "nowhere" and "\n" in each:  # lines without full stops
                lines = [_check_sentence(known, line, asked) for line in each.splitlines()]
                is_all = all(line.support != "nowhere" for line in lines)
                one = lines[0]._replace(text=each, support="supported") if is_all else one
            parts = [_check_sentence(known, part, asked) for part in _after_letters(each, one)]
            for part in parts if any(part.support != "nowhere" for part in parts) else [one]:
                is_allowed = part.support == "nowhere" and _plain(part.text) in allowed
                checked.append(part._replace(support="allowed") if is_allowed else part)
        return TextCheck(tuple(checked))


def _after_letters(sentence: str, checked: CheckedSentence) -> list[str]:
    """The sentences that a letter with a full stop may divide: "on pontoon C. Welding is"."""
    parts = LETTER_END.split(sentence) if checked.support == "nowhere" else []
    return parts if all(len(part.split()) > 2 for part in parts) else []


def read_text(file: Path) -> str:
    """The text of a file, or of standard input for -; DataError if it cannot be read or is none."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return decode(data).map.text
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, DataError) as error:
        raise DataError(f"{file} cannot be read: it is no text ({error}).") from None


def check_claim(
    claim: str, passage: str, source: str = "", critic: "SecondOpinion | None" = None
) -> Support:
    """Mark one sentence by what one passage, without an index, has of it.

    source  path of the file that the passage is of, whose name says what it is about; a passage of
            a .csv, .tsv, .md or .rst file is read as such, any other as plain text
    critic  is asked for a second opinion

    >>> check_claim("The barn was rebuilt in 1971.", "It burnt down. In 1971 the barn was rebuilt.")
    'supported'
    """
    lines, known = ({_plain(each) for each in text.splitlines()} for text in (claim, passage))
    if len(lines) > 1 and lines <= known:  # rows with their head, or settings
        return "quoted"
    texts = _passage_texts(passage, source)
    language = texts[0].language if texts else FALLBACK
    said = with_quantities(SOURCE.sub("", claim), language_of(claim, language))
    terms = parse_question(said, language).terms
    words = [words for text in texts for words in (*text.terms, text.outer)]
    absent = [all(term_credit(term, each) < SPLIT_NAME_CREDIT for each in words) for term in terms]
    weights = [t.share * (ABSENT_WEIGHT if a else 1.0) for t, a in zip(terms, absent, strict=True)]
    wanted = WeightedQuestion(Question(terms), weights)
    found = _find_quote(claim, texts) or _find_support(claim, said, wanted, texts)
    return _with_critic(found, texts, critic).support


@lru_cache(maxsize=1024)
def _passage_texts(passage: str, source: str) -> list[PassageText]:
    path = source if source.lower().endswith(PASSAGE_FILES) else f"{source}.txt"
    return [
        PassageText(Hit(part, 0.0), document, language_of(document.text, FALLBACK))
        for document in read_data(path, passage.encode(errors="replace"))
        if isinstance(document, Record)
        for part in chunk_document(document)
    ]


def is_supported(index: OpenIndex, hit: Hit, place: range, sentence: str) -> bool:
    """Whether a sentence, clause or row in a place of a passage's document supports a sentence."""
    said, wanted = _weighted(index, sentence)
    text, start = index.passage_text(hit), hit.passage.start
    inside = (
        at for at, unit in enumerate(text.units)
        if unit.kind != "heading"
        and start + unit.start < place.stop and place.start < start + unit.end
    )  # fmt: skip
    plain, denials = _plain(sentence), word_pattern("negation")
    return sum(wanted.weights) > 0 and any(
        (plain in _plain(line) and len(denials.findall(line)) == len(denials.findall(sentence)))
        or _supports(text, at, said, wanted)
        for at in inside if (line := text.texts[at])
    )  # fmt: skip


def _weighted(index: OpenIndex, sentence: str) -> tuple[str, WeightedQuestion]:
    """A sentence with its numbers in digits, and its terms with their weights."""
    language = index.languages[0] if index.languages else FALLBACK
    said = with_quantities(sentence, language_of(sentence, language))
    terms = index.parse(said).terms
    return said, WeightedQuestion(Question(terms), [index.term_weight(term) for term in terms])


class PlainTexts:
    """The words of all passages in one string, so that none is missed by its rank."""

    def __init__(self, index: OpenIndex) -> None:
        self.index, self.passages = index, index.lexical.passages()
        plains = [_plain(passage.text) for passage in self.passages]
        self.text, self.ends = "\n".join(plains), list(accumulate(len(p) + 1 for p in plains))
        self.taken_apart = cache(lambda at: index.passage_text(Hit(self.passages[at], 0.0)))

    def having(self, sentence: str) -> Iterator[PassageText]:
        """The passages that have a sentence's words in a row."""
        plain = _plain(sentence)
        start = self.text.find(plain)
        while start >= 0:
            at = bisect_right(self.ends, start)
            yield self.taken_apart(at)
            start = self.text.find(plain, self.ends[at])


def _check_sentence(
    known: PlainTexts, sentence: str, critic: "SecondOpinion | None"
) -> CheckedSentence:
    if quoted := _find_quote(sentence, known.having(sentence)):
        return quoted
    index, plain = known.index, SOURCE.sub("", sentence)
    parsed, (said, wanted) = index.parse(plain), _weighted(index, plain)
    texts = list(map(index.passage_text, index.lexical.search_terms(parsed, CHECKED_PASSAGES)))
    return _with_critic(_find_support(sentence, said, wanted, texts), texts, critic)


def _check_rows(known: PlainTexts, table: str) -> list[CheckedSentence]:
    """The rows of a table by themselves, each in a row with such cells; [] of what is no table."""
    lines = table.splitlines()
    sizes = ({len(re.findall(mark, line)) for line in lines} for mark in (r"[|\t]", r"[,;](?=\S)"))
    if len(lines) < 2 or not any(len(size) == 1 and 0 not in size for size in sizes):
        return []
    head, rows = lines[0], [line for line in lines[1:] if re.search(r"\w", line)]
    return [_check_row(known, head, row) for row in rows]


def _check_row(known: PlainTexts, head: str, row: str) -> CheckedSentence:
    cells = named_cells(head, row)
    for text in known.having(cells[0][1]) if cells else ():
        for at, unit in enumerate(text.units):
            if unit.kind == "row" and _named(cells) <= _named(text.cells(at)):
                start = text.passage.start
                place = text.document.quote(start + unit.start, start + unit.end).location
                is_same = _plain(row) == _plain(text.texts[at])
                return CheckedSentence(row, "quoted" if is_same else "supported", place)
    quoted = _find_quote(head, known.having(head)) and _find_quote(row, known.having(row))
    return quoted or CheckedSentence(row, "nowhere", "")


def _named(cells: Cells) -> set[tuple[str, str]]:
    return {(_plain(name), _plain(with_quantities(cell))) for name, cell in cells}


def _with_critic(
    checked: CheckedSentence, texts: Sequence[PassageText], critic: "SecondOpinion | None"
) -> CheckedSentence:
    """What the rules say of a sentence, unless a critic is sure of the contrary."""
    if critic is None or checked.support == "quoted":
        return checked
    best = critic.best_support(checked.text, texts)
    if best and checked.support == "supported" and best.log_odds < REJECTED:
        return CheckedSentence(checked.text, "nowhere", "")
    if best and checked.support == "nowhere" and best.log_odds > SUPPORTED:
        return CheckedSentence(checked.text, "supported", best.location)
    return checked


def _find_quote(sentence: str, texts: Iterable[PassageText]) -> CheckedSentence | None:
    """Where some passages have a sentence word for word."""
    plain = _plain(sentence)
    for text in texts if plain.strip() else ():
        start = text.passage.start
        for at, unit in enumerate(text.units):  # whole: not "open it" of "do not open it"
            runs = [text.passage.text[unit.start : last.end] for last in text.units[at : at + 3]]
            runs += (ROW_PART if unit.kind == "row" else LETTER_END).split(runs[0])
            if any(_plain(run) == plain for run in runs):
                place = text.document.quote(start + unit.start, start + unit.end)
                return CheckedSentence(sentence, "quoted", place.location)
    return None


def _find_support(
    sentence: str, said: str, wanted: WeightedQuestion, texts: Iterable[PassageText]
) -> CheckedSentence:
    """Where some passages support a sentence; `said` is the sentence with numbers in digits."""
    for text in texts if sum(wanted.weights) else ():
        start = text.passage.start
        for at, unit in enumerate(text.units):
            if unit.kind != "heading" and _supports(text, at, said, wanted):
                place = text.document.quote(start + unit.start, start + unit.end)
                return CheckedSentence(sentence, "supported", place.location)
    return CheckedSentence(sentence, "nowhere", "")


class ClaimedText(NamedTuple):
    """A sentence beside a row of a table or a line of settings, which has no order of words."""

    sentence: str
    wanted: WeightedQuestion
    language: str
    outer: Sequence[float]
    """The credit of each term for the titles and heads above."""

    def cover(self, part: str) -> list[float]:
        """The credit of each term for a row and what stands above it."""
        own = self.wanted.credits_for(text_terms(part, self.language))
        return [max(each) for each in zip(own, self.outer, strict=True)]

    def lacking(self, part: str) -> list[QuestionTerm]:
        """The terms that neither a row nor what stands above it has."""
        pairs = zip(self.wanted.question.terms, self.cover(part), strict=True)
        return [term for term, credit in pairs if credit < SUFFIX_CREDIT]

    def is_said_by(self, part: str, line: str, is_row: bool = False) -> bool:
        """Whether a row, or a key and its value, has its words, numbers and negations.

        A word that the part lacks and another part of the line has is of that one.
        """
        lacking, elsewhere = self.lacking(part), text_terms(line, self.language)
        if any(t.is_name or term_credit(t, elsewhere) >= SUFFIX_CREDIT for t in lacking):
            return False
        own, said = (words_of(text, self.language) for text in (self.sentence, part))
        stems = frozenset[str]().union(*(word.stems for word in said))
        named = {term.text.lower() for term in self.wanted.question.terms if term not in lacking}
        for word in own:
            is_named = is_row and word.has("exact") and word.text in named  # of "last_check"
            if word.has("number", "month", "exact") and not word.stems & stems and not is_named:
                return False
        denials = [sum(word.has("negation") for word in words) for words in (own, said)]
        is_same = denials[0] == denials[1] or is_row and denials[1] > 0
        is_same = is_same and not says_opposite(self.sentence, part)
        return is_same and self.wanted.share(self.cover(part)) >= MIN_SUPPORT


def _supports(text: PassageText, at: int, sentence: str, wanted: WeightedQuestion) -> bool:
    """Whether a sentence is made of a line, a clause of it or a row, by what keeps its meaning."""
    line, head = with_quantities(text.texts[at], text.language), text.heads[at]
    titles = [*text.passage.headings, *(text.texts[number] for _, number in text.sections[at])]
    lead = text.document.text[slice(*head)] if head else ""
    units = (NAMES[word] for word in re.findall(r"[^\W\d_]+|[%€$£]", lead) if word in NAMES)
    names = text_terms(" ".join([*titles, lead, *units]), text.language)
    is_row = text.units[at].kind == "row"
    if is_row or text.is_settings:
        credits = (wanted.credits_for(each) for each in (text.outer, names))
        outer = [max(each) for each in zip(*credits, strict=True)]
        claim = ClaimedText(sentence, wanted, text.language, outer)
        if not is_row:  # a value is of its own key
            pairs = (INLINE if "{" in line else SETTING).findall(line)
            settings = [f"{key} {key.replace('_', ' ')}: {value}" for key, value in pairs]
            return any(claim.is_said_by(each, line) for each in settings or [line])
        # "The default of retries", where a title has "retries" and another row is of them
        found = named_cells(lead, text.texts[at]) if head else []
        cells = [(name, with_quantities(cell, text.language)) for name, cell in found]
        line = " | ".join(cell for _, cell in cells) or line  # "6,1971" is no number
        rows = (row for n, row in enumerate(text.texts) if head and text.heads[n] == head)
        keys = {_plain(cell) for row in rows for _, cell in named_cells(lead, row)[:1]}
        words = {_plain(term.text) for term in wanted.question.terms}
        is_other = any(key in words and key not in _plain(line) for key in keys)
        lacking, terms = claim.lacking(line), wanted.question.terms
        kept = [at for at, term in enumerate(terms) if not PRICED.fullmatch(term.text)]
        if len(kept) < len(terms) and _names_cell(cells, sentence, text.language):
            fewer = wanted.part(kept, wanted.question.measure)
            priced = claim._replace(wanted=fewer, outer=[outer[at] for at in kept])
            if not priced.lacking(line):
                claim, lacking = priced, []
        is_of_row = not is_other and _is_row_of(text, cells, sentence, lacking)
        return is_of_row and claim.is_said_by(line, line, is_row=True)
    file, before = text.outer.stems, text.antecedent(at)
    return any(
        follows(sentence, each, text.language, lead, before, titles=names.stems, file=file)
        for each in dict.fromkeys((line, without_days(line)))
    )


def _names_cell(cells: Cells, sentence: str, language: str) -> bool:
    """Whether a sentence names a row by its first cell, a column and the number of its cell."""
    said = set(stem_words(sentence, language))
    return (
        bool(cells)
        and said >= set(stem_words(cells[0][1], language))
        and any(
            said >= set(stem_words(name.replace("_", " "), language))
            and set(NUMBER.findall(cell)) & set(NUMBER.findall(sentence))
            for name, cell in cells[1:]
        )
    )


def _is_row_of(text: PassageText, cells: Cells, sentence: str, lacking: Terms) -> bool:
    """Whether a sentence is of this row of a table, and its numbers of the columns that it names.

    A word that the row lacks and another row has is of that one.
    """
    rows = (terms for unit, terms in zip(text.units, text.terms, strict=True) if unit.kind == "row")
    if any(term_credit(term, row) >= SUFFIX_CREDIT for row in rows for term in lacking):
        return False
    said = set(stem_words(sentence, text.language))
    heads = [
        (set(stem_words(name.replace("_", " "), text.language)), cell)
        for name, cell in cells
        if NUMBER.search(cell) and not (KEY.search(cell) and _plain(cell) in _plain(sentence))
    ]
    shares = [(len(said & words) / max(1, len(words)), cell) for words, cell in heads]
    most = max((share for share, _ in shares), default=0.0)
    for number in NUMBER.findall(sentence) if most else ():
        columns = [share for share, cell in shares if number in NUMBER.findall(cell)]
        if columns and max(columns) < most:
            return False
    return True


def _plain(text: str) -> str:
    """Words, signed numbers and signs of size alone, in lower case, with single spaces."""
    words = re.findall(rf"{NUMBER.pattern}|[^\W\d_]+|[<>=≤≥%°€£$]", bare(text).lower())
    return f" {' '.join(words)} "


def match_question(question: str, text: str) -> float | None:
    """How much of a question a text has, by words alone and without an index.

    The mean credit of the question's terms, and the mean of that with 1 or 0 if a quantity is asked
    for: 1 if the text has one. None for a question without terms.

    >>> match_question("When was the barn built?", "The barn was built of oak.")
    0.5
    """
    parsed, language = parse_question(question), language_of(text, FALLBACK)
    if not (terms := parsed.terms):
        return None
    words = text_terms(text, language)
    share = sum(term_credit(term, words) for term in terms) / len(terms)
    return (share + parsed.measure.is_in(text, language)) / 2 if parsed.measure.name else share
