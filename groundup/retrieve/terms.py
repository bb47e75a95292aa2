"""The terms of a question: stems of content words, and exact names of code.

    "How do I use os.path.join on two paths?"  ->  join by its exact name, "path" by its stem

Stop words and words that frame a question (how, does, mean, difference) are ignored, unless the
question quotes them or names them as a keyword: `with`, "the for loop". Texts and the index use the
same stemmer, so they match equally. Words are separated by spaces and punctuation: languages
without spaces are not segmented.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from groundup.core import MissingExtra

MAX_QUESTION_CHARACTERS = 4_000
MAX_TERMS = 32
MAX_WORD_CHARACTERS = 60
SUFFIX_CREDIT = 0.9
"""Credit for a suffix of an exact name: `Path.open` for `pathlib.Path.open`."""
SPLIT_NAME_CREDIT = 0.55
"""Credit for only the parts of an exact name, such as `path` and `join`."""
SPLIT_PAIR_CREDIT = 0.5
"""Credit for the two words of a pair that are not adjacent."""

NAME = re.compile(r"-{0,2}[^\W\d]\w*(?:[.\-][^\W\d]\w*)*")
QUOTED = re.compile(r"`([^`\n]{1,60})`|\"([^\"\n]{1,60})\"|“([^”\n]{1,60})”|'(\w{1,60})'")
AS_KEYWORD = re.compile(
    r"(\w+)[`\"”']?\s+(?:statement|keyword|clause|loop|operator|expression)s?\b",
    re.IGNORECASE,
)
NO_KEYWORDS = frozenset(
    "a an the this that these each every some any which what in of to and or is are no".split()
)
STOP_WORDS = frozenset(
    """
    a an the this that these those it its he she they them their his her i me my mine you your we
    our us one ones someone something anything
    and or but nor so if then else than as of at by for from in into on onto off out over under to
    up down with without within about between among through during before after against across via
    is are was were be been being am do does did doing done have has had having can could shall
    should will would may might must need needs ought
    how often what when where which who whom whose why whether
    not no yes there here also just only very much many more most some any all each every both
    either neither other another such same own too again ever still please s t d ll m re ve don
    doesn didn isn aren wasn won
    mean means meaning meant happen happens happened explain describe tell give me know show
    define defined definition definitions difference differences differ possible way ways
    go goes going work works working use uses used using usage want wants like get gets make makes
    made let lets
    purpose example examples question answer exactly actually really called kind
    """.split()
)


class QuestionTerm(NamedTuple):
    """A term of a question, which matches by its exact name or by all of its stems."""

    text: str
    stems: tuple[str, ...]
    name: str | None = None
    """The exact name, if the term is a name of code."""
    is_pair: bool = False
    """Whether the two stems must be adjacent, as in "the unless statement"."""


class QuestionTerms(NamedTuple):
    """The distinct terms of a question, in order."""

    terms: tuple[QuestionTerm, ...]
    truncation_note: str
    """What was omitted of a too long question, in words; otherwise empty."""


class TextTerms(NamedTuple):
    """The stems and exact names of a text."""

    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Adjacent stems."""
    names: frozenset[str]


def parse_question(text: str) -> QuestionTerms:
    """Extract the terms of a question: at most MAX_TERMS from its first 4,000 characters.

    >>> [term.text for term in parse_question("How do I open files with os.open()?").terms]
    ['open', 'files', 'os.open']
    >>> [term.text for term in parse_question("What does the `with` statement mean?").terms]
    ['with statement']
    """
    text = text.strip()
    read = _truncate_at_word(text)
    emphasised = {
        word.lower() for quoted in QUOTED.findall(read) for word in re.findall(r"\w+", max(quoted))
    }
    terms: dict[tuple[str, ...], QuestionTerm] = {}
    end = 0
    for match in NAME.finditer(read):
        if match.start() < end:
            continue  # the second word of a pair
        pair = AS_KEYWORD.match(read, match.start())
        term = _make_term(match.group(), read[match.end() :][:1] == "(", emphasised)
        if pair and pair[1].lower() not in NO_KEYWORDS and len(stem_words(pair.group())) == 2:
            words = re.findall(r"\w+", pair.group())
            term = QuestionTerm(" ".join(words), tuple(stem_words(pair.group())), is_pair=True)
            end = pair.end()
        if term is not None:
            previous = terms.setdefault(term.stems or (term.text,), term)
            if previous.name is None and term.name is not None:
                terms[term.stems or (term.text,)] = term
    for number in re.findall(r"(?<![\w.])\d[\w.]*\w|(?<![\w.])\d\b", read):
        stems = tuple(stem_words(number))
        terms.setdefault(stems, QuestionTerm(number, stems))
    return QuestionTerms(tuple(terms.values())[:MAX_TERMS], _truncation_note(text, len(terms)))


def _truncate_at_word(text: str) -> str:
    """The first 4,000 characters without an incomplete last word, which would be another term."""
    if len(text) <= MAX_QUESTION_CHARACTERS:
        return text
    return text[: MAX_QUESTION_CHARACTERS + 1].rsplit(None, 1)[0][:MAX_QUESTION_CHARACTERS]


def _truncation_note(text: str, terms: int) -> str:
    cuts = []
    if len(text) > MAX_QUESTION_CHARACTERS:
        cuts.append(f"the first {MAX_QUESTION_CHARACTERS:,} of {len(text):,} characters were read")
    if terms > MAX_TERMS:
        cuts.append(f"the first {MAX_TERMS} of {terms} terms were used")
    return "; ".join(cuts)


def _make_term(word: str, is_called: bool, emphasised: set[str]) -> QuestionTerm | None:
    """Create the term of a word; None for a word without content."""
    bare = word.lstrip("-")
    if bare.lower() in STOP_WORDS and bare.lower() not in emphasised and not is_called:
        return None
    stems = tuple(dict.fromkeys(stem_words(word)))
    if not stems and not bare.strip("_"):
        return None
    return QuestionTerm(word, stems, word if is_called or _is_code_name(word) else None)


def _is_code_name(word: str) -> bool:
    """Whether a word can only be a name of code: dots, underscores, digits, inner capitals.

    >>> [_is_code_name(word) for word in ("os.path", "read_bytes", "OrderedDict", "Path", "--out")]
    [True, True, True, False, True]
    """
    return bool(re.search(r"[._\d]|^--|[a-z][A-Z]", word))


def code_names(text: str) -> Iterator[str]:
    """Yield every exact name in a text, a dotted one with each of its suffixes.

    >>> list(code_names("see os.path.join() or open(file)"))
    ['os.path.join', 'path.join', 'join', 'open']
    """
    for match in NAME.finditer(text):
        word = match.group()
        if len(word) > MAX_WORD_CHARACTERS:
            continue
        is_called = text[match.end() : match.end() + 1] == "("
        if is_called or _is_code_name(word):
            parts = word.split(".")
            yield from (".".join(parts[first:]) for first in range(len(parts)))


def text_terms(text: str, context: str = "") -> TextTerms:
    """Collect the stems and exact names of a text; `context` adds names that surround it."""
    stems = stem_words(text)
    pairs = zip(stems, stems[1:], strict=False)
    exact_names = code_names(f"{context} {text}" if context else text)
    return TextTerms(frozenset(stems), frozenset(pairs), frozenset(exact_names))


def term_credit(term: QuestionTerm, words: TextTerms) -> float:
    """The credit of a term for a text, in [0, 1]."""
    if term.name is not None:
        if term.name in words.names:
            return 1.0
        if any(ending in words.names for ending in _dotted_suffixes(term.name)):
            return SUFFIX_CREDIT
    if not term.stems:
        return 0.0
    share = sum(stem in words.stems for stem in term.stems) / len(term.stems)
    if term.is_pair:
        return 1.0 if term.stems in words.pairs else SPLIT_PAIR_CREDIT * share
    return share * (1.0 if term.name is None else SPLIT_NAME_CREDIT)


def _dotted_suffixes(name: str) -> list[str]:
    """The suffixes of a dotted name that still have a dot.

    >>> _dotted_suffixes("pathlib.Path.open")
    ['Path.open']
    """
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(1, len(parts) - 1)]


def stem_words(text: str) -> list[str]:
    """Stems of a text, in order, as in the index.

    >>> stem_words("Opening the files' café")
    ['open', 'the', 'file', 'cafe']
    """
    return stem_analyser().analyze(text)


@cache
def stem_analyser() -> Any:
    """The analyser of index and questions: words, lower case, no accents, stems."""
    engine = import_tantivy()
    builder = engine.TextAnalyzerBuilder(engine.Tokenizer.simple())
    filters, longest = engine.Filter, engine.Filter.remove_long(MAX_WORD_CHARACTERS)
    for step in (longest, filters.lowercase(), filters.ascii_fold(), filters.stemmer("english")):
        builder = builder.filter(step)
    return builder.build()


def import_tantivy() -> Any:
    """Import tantivy; MissingExtra if it is not installed."""
    try:
        import tantivy as engine
    except ImportError:
        raise MissingExtra("tantivy", "retrieve") from None
    return engine
