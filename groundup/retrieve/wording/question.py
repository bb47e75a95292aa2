"""The terms of a question: what it names, what it asks of it, in how many parts; and their credit.

    "How do I use os.path.join on two paths?"  ->  its exact name os.path.join, the stem "path"

Queries are built from terms and never parsed, so no character of a question is syntax. Stop words
and words that frame a question (how, does, mean, difference) are ignored, unless the question
quotes them or names them as a keyword: `with`, "the for loop". A term that names one thing (a name
of code, a number, a capitalised word, a word that no dictionary of English has) must be near what
is quoted; other words may be missing. "What is the default, and what the maximum of X?" has two
parts, and each of them asks of X.
"""

import bisect
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from groundup.documents import is_dictionary_word

from .language import (
    COLOUR,
    FALLBACK,
    INDIC,
    MAX_WORD_CHARACTERS,
    UNSPACED,
    is_bare_definition,
    language_of,
    stem_words,
    stop_words,
    word_pattern,
)

MAX_QUESTION_CHARACTERS = 4_000
MAX_TERMS = 32
MAX_PARTS = 6
SUFFIX_CREDIT = 0.9  # for a suffix of an exact name: `Path.open` for `pathlib.Path.open`
SPLIT_NAME_CREDIT = 0.55  # for only the parts of an exact name, such as `path` and `join`
SPLIT_PAIR_CREDIT = 0.5  # for the two words of a pair that are not adjacent
GENERIC_SHARE = 0.1  # of its weight for a verb that says little: "fits", where a text says "holds"
PASSAGE_CREDIT = 0.5  # for what stands elsewhere in the passage
AROUND_QUANTITY = 0.6  # share of that credit if a quantity is asked for
# What is left of the score without the thing that is named, what is asked of it, or how much.
MISSING_NAME, MISSING_PROPERTY, MISSING_QUANTITY = 0.5, 0.7, 0.55

NAME = re.compile(r"(?<!\w)-{0,2}[^\W\d]L*(?:[.\-/]L+)*".replace("L", rf"[\w{INDIC}]"))
NUMERAL = re.compile(r"(?<![\w.])(?<!\w-)\d(?:[\w.]*\w)?(?:[-/]\d(?:[\w.]*\w)?)*\b")
WHOLE_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)\d+")
YEAR = re.compile(r"1\d{3}|20\d\d")
AXIS_WORD = re.compile(r"[\W_]{0,3}(?:de |di |in |of )?([^\W\d_]+)")
ADDRESS = re.compile(r"\w+://\S+|\]\([^)\s]*\)")
INVERSION = re.compile(r"-(?:t-)?(?:je|tu|il|elle|on|nous|vous|ils|elles|ce)\b", re.IGNORECASE)
QUOTED = re.compile(r"`([^`\n]{1,60})`|\"([^\"\n]{1,60})\"|“([^”\n]{1,60})”|'(\w{1,60})'")
AS_KEYWORD = re.compile(
    r"(\w+)[`\"”']?\s+(?:statement|keyword|clause|loop|operator|expression)s?\b", re.IGNORECASE
)
JOINT = re.compile(r",?\s+(?:and|or|und|oder|et|ou|y|o|e|en|och|og|ja|и|или)\s+|[,;?]\s+", re.I)


class QuestionTerm(NamedTuple):
    """A term of a question, which matches by its exact name or by all of its stems."""

    text: str
    stems: tuple[str, ...]
    name: str | None = None
    """The exact name, if the term is a name of code."""
    is_pair: bool = False
    """Whether the two stems must be adjacent, as in "the unless statement"."""
    is_name: bool = False
    """Whether it names one thing, so that a text without it is hardly about that thing."""
    is_numbered: bool = False
    """Whether its last stems are the number of the first: "room 40", or a date alone."""
    share: float = 1.0
    """What is left of its weight."""
    role: str = ""
    """The function word before it, which may head a column: "from Oslo"."""


class Measure(NamedTuple):
    """What can answer a question: a duration, a size, a number (measures.toml)."""

    name: str = ""
    """Empty: anything can."""
    languages: tuple[str, ...] = ()
    """Languages in whose words the question asks for it."""
    axis: str = ""
    """Along which it is asked: "how high" is not answered by "3 metres deep"."""

    def lists(self, kind: str, words: str) -> bool:
        """Whether words are its `verbs`, "weigh", or name one of its `columns` (measures.toml)."""
        pattern = _measures().get(self.name, {}).get(kind, "(?!)")
        return re.search(pattern, words, re.IGNORECASE) is not None

    def is_in(self, text: str, language: str) -> bool:
        """Whether a text has such a quantity; numerals count in their languages."""
        if not self.name:
            return True
        text = ADDRESS.sub(" ", text)  # digits of a link are no number
        if unless := _measures()[self.name].get("unless"):
            text = re.sub(unless, " ", text, flags=re.IGNORECASE | re.DOTALL)
        found = _quantity_pattern(self.name, (*self.languages, language)).finditer(text)
        words = (AXIS_WORD.match(text, match.end()) if self.axis else None for match in found)
        return any(
            not word or _axes().get(word[1].lower(), self.axis) == self.axis for word in words
        )


class QuestionPart(NamedTuple):
    """One of several facts that a question asks for, with the indices of its terms."""

    terms: tuple[int, ...]
    own: tuple[int, ...]
    """Those without a name of another part, if they may be a question of their own."""
    measure: Measure


class Question(NamedTuple):
    """The distinct terms of a question, in order."""

    terms: tuple[QuestionTerm, ...]
    truncation_note: str = ""
    """What was omitted of a too long question, in words; otherwise empty."""
    parts: tuple[QuestionPart, ...] = ()
    """Its parts, if it asks for several facts."""
    measure: Measure = Measure()
    is_definition: bool = False
    """Whether it asks what or who something is."""


class TextTerms(NamedTuple):
    """The stems and exact names of a text."""

    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Adjacent stems, and an empty one before a number that is no part of another."""
    names: frozenset[str]
    numbered: frozenset[tuple[str, str]] = frozenset()
    """Stems with the number that one of the two words before it, or the head of its cell, is."""


def parse_question(text: str, fallback: str = FALLBACK) -> Question:
    """Extract the terms of a question: at most MAX_TERMS from its first 4,000 characters.

    fallback: the language of a question without function words

    >>> [term.text for term in parse_question("How do I open files with os.open()?").terms]
    ['open', 'files', 'os.open']
    >>> [term.text for term in parse_question("What does the `with` statement mean?").terms]
    ['with statement']
    """
    text = text.strip()
    read = _truncate_at_word(text)
    language = language_of(read, fallback)
    joints = [match.start() for match in JOINT.finditer(read)]
    texts = [read[part] for part in map(slice, [0, *joints], [*joints, len(read)])]
    terms: dict[tuple[str, ...], QuestionTerm] = {}
    owned: dict[tuple[str, ...], set[int]] = {}
    for start, term in _iter_terms(read, language):
        key = term.stems or (term.text,)
        if key not in terms or (terms[key].name is None and term.name is not None):
            terms[key] = term
        owned.setdefault(key, set()).add(bisect.bisect_right(joints, start))
    listed, owners = tuple(terms.values())[:MAX_TERMS], list(owned.values())[:MAX_TERMS]
    note = _truncation_note(text, len(terms))
    parts, defines = _split_parts(listed, owners, texts), word_pattern("definition").match(read)
    return Question(listed, note, parts, _measure_of(read), defines is not None)


@cache
def _measures() -> dict[str, dict[str, Any]]:
    """The kinds of quantities of measures.toml, in its order, below numerals and units."""
    text = Path(__file__).with_name("measures.toml").read_text(encoding="utf-8")
    listed = text[text.index("[units]") : text.index("[NUMERAL]")]
    for name, units in tomllib.loads(listed)["units"].items():
        text = text.replace(f"<{name}>", units.replace("\n", ""))
    return tomllib.loads(text)


@cache
def _asks() -> dict[tuple[str, str], re.Pattern[str]]:
    """What asks for a kind of quantity in a language."""
    return {
        (name, language): re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
        for name, measure in _measures().items()
        for language, words in measure.get("asks", {}).items()
    }


@cache
def _quantity_pattern(measure: str, languages: tuple[str, ...]) -> re.Pattern[str]:
    answers = _measures()[measure]["answers"]
    for name in ("PROPER", "LOCATIVE", "NUMERAL"):  # in this order: locatives have numerals
        known = [words for each, words in _measures()[name].items() if each in languages]
        answers = answers.replace(name, "|".join(known) or "(?!)")
    return re.compile(answers.replace("\n", ""), re.IGNORECASE)


@cache
def numerals_of(language: str) -> re.Pattern[str]:
    """The words for numbers of a language."""
    return re.compile(rf"\b(?:{_measures()['NUMERAL'].get(language, '(?!)')})\b".replace("\n", ""))


@cache
def _axes() -> dict[str, str]:
    return {word: axis for axis, words in _measures()["axes"].items() for word in words.split()}


def _measure_of(text: str) -> Measure:
    asked = [(*key, match[0]) for key, asks in _asks().items() if (match := asks.search(text))]
    if not asked:
        return Measure()
    measure, _, words = asked[0]
    axis = _axes().get(words.split()[-1].lower(), "")
    return Measure(measure, tuple(language for name, language, _ in asked if name == measure), axis)


def _truncate_at_word(text: str) -> str:  # an incomplete last word would be another term
    if len(text) <= MAX_QUESTION_CHARACTERS:
        return text
    return text[: MAX_QUESTION_CHARACTERS + 1].rsplit(None, 1)[0][:MAX_QUESTION_CHARACTERS]


def _truncation_note(text: str, terms: int) -> str:
    read = f"the first {MAX_QUESTION_CHARACTERS:,} of {len(text):,} characters were read"
    used = f"the first {MAX_TERMS} of {terms} terms were used"
    cuts = (read * (len(text) > MAX_QUESTION_CHARACTERS), used * (terms > MAX_TERMS))
    return "; ".join(filter(None, cuts))


def _iter_terms(text: str, language: str) -> Iterator[tuple[int, QuestionTerm]]:
    emphasised = {
        word.lower() for quoted in QUOTED.findall(text) for word in re.findall(r"\w+", max(quoted))
    }
    asked = [match.end() for asks in _asks().values() for match in asks.finditer(text)]
    frames = _measures().get(_measure_of(text).name, {}).get("frames", "(?!)")
    for run in UNSPACED.finditer(text):
        yield from _unspaced_terms(run)
    for pattern in (UNSPACED, INVERSION) if language == "french" else (UNSPACED,):
        text = pattern.sub(lambda run: " " * len(run[0]), text)
    end = 0
    for match in NAME.finditer(text):
        if match.start() < end or match.end() in asked or re.fullmatch(frames, match[0]):
            continue  # the second word of a pair; "long", "take" in "how long does it take"
        pair = AS_KEYWORD.match(text, match.start())
        stems = tuple(stem_words(pair.group(), language)) if pair else ()
        if pair and not word_pattern("no_keyword", r"\Z").match(pair[1]) and len(stems) == 2:
            words = " ".join(re.findall(r"\w+", pair.group()))
            yield match.start(), QuestionTerm(words, stems, is_pair=True)
            end = pair.end()
        else:
            is_called = text[match.end() : match.end() + 1] == "("
            before = text[: match.start()].rstrip()
            is_start = before[-1:] in ("", ".", "?", "!", ":")
            named = {match[0].lower()} if _is_letter_of(match[0], before, language) else set()
            term = _make_term(match.group(), language, emphasised | named, is_called, is_start)
            if term is not None:
                is_noun = word_pattern("article", r"\Z").search(before)  # "the start of the race"
                is_generic = word_pattern("generic", r"\Z").fullmatch(term.text) and not is_noun
                share = GENERIC_SHARE if is_generic and not term.is_name else 1.0
                yield match.start(), term._replace(share=share, role=_role(before, language))
    yield from _numeral_terms(text, language)


def _is_letter_of(word: str, before: str, language: str) -> bool:
    """Whether a letter names the thing before it: "pontoon D", but not "can I", "is there a"."""
    thing = re.search(r"(?<![\w'’-])([^\W\d_]{3,})\Z", before)
    is_letter = len(word) == 1 and "A" <= word <= "Z" and word != "I"
    return is_letter and thing is not None and thing[1].lower() not in stop_words()[language]


def _numeral_terms(text: str, language: str) -> Iterator[tuple[int, QuestionTerm]]:
    """Yield the numbers of a question, with the word whose number they are, and dates."""
    for match in NUMERAL.finditer(text):
        before = text[max(0, match.start() - MAX_WORD_CHARACTERS) : match.start()]
        word = _numbered_word(before, match[0], text[match.end() :], language)
        number = stem_words(match[0], language)
        is_name = bool(word) or len(match[0]) > 1 or before.endswith("=")
        stems, is_numbered = (*stem_words(word, language), *number), bool(word) or len(number) > 1
        shown, role = f"{word} {match[0]}".strip(), _role(before.rstrip(), language)
        term = QuestionTerm(shown, stems, is_name=is_name, is_numbered=is_numbered, role=role)
        yield match.start(), term


def _role(before: str, language: str) -> str:
    word = before[max(0, len(before) - MAX_WORD_CHARACTERS) :].rpartition(" ")[2].lower()
    return word if word in stop_words()[language] else ""


def _numbered_word(before: str, number: str, after: str, language: str) -> str:
    """The word whose number a number is, if it has one: "room 40", but not "in 40 rooms"."""
    word = re.search(r"(?<![\w-])([^\W\d_]{2,})\s+\Z", before)
    if not word or word[1].lower() in stop_words()[language]:
        return ""
    if word_pattern("numbered", r"\Z").fullmatch(word[1]):
        return word[1]
    is_date = YEAR.fullmatch(number) or word_pattern("month", r"\Z").fullmatch(word[1])
    following = re.match(r"\s*([^\W\d_]*)", after)
    is_last = not following or not following[1] or following[1].lower() in stop_words()[language]
    return word[1] if is_last and not is_date and "-" not in number else ""


def _unspaced_terms(run: re.Match[str]) -> Iterator[tuple[int, QuestionTerm]]:
    """Yield what lies between the question words of a run of Chinese, Japanese or Thai."""
    words = sorted(stop_words()["unspaced"], key=len, reverse=True)
    for part in re.finditer(r"[^\0]+", re.sub("|".join(words), lambda m: "\0" * len(m[0]), run[0])):
        stems = stem_words(part[0])  # pairs, then the characters alone
        pairs = tuple(stems[: len(part[0]) - 1]) or tuple(stems)
        yield run.start() + part.start(), QuestionTerm(part[0], pairs)


def _make_term(
    word: str, language: str, emphasised: set[str], is_called: bool, is_start: bool
) -> QuestionTerm | None:
    bare = word.lstrip("-")
    is_plain = word == bare and not is_called and bare.lower() not in emphasised
    if is_plain and bare.lower() in stop_words()[language]:
        return None
    stems = tuple(dict.fromkeys(stem_words(word, language)))
    if not stems and not bare.strip("_"):
        return None
    name = word if is_called or _is_code_name(word) else None
    is_name = name is not None or bare.lower() in emphasised
    if language != "german" and not is_name:  # where all nouns have a large letter
        is_word = len(bare) < 3 or language != FALLBACK
        is_word = is_word or any(map(is_dictionary_word, bare.split("-")))
        is_name = len(bare) > 2 and not is_start if bare[0].isupper() else not is_word
    is_pair = name is None and "-" in word and len(stems) == 2  # "max-depth" is not "max-width"
    return QuestionTerm(word, stems, name, is_pair, is_name)


def _is_code_name(word: str) -> bool:  # dots, underscores, digits, inner capitals
    return bool(re.search(r"[._/\d]|^-|[a-z][A-Z]", word))


def _split_parts(
    terms: tuple[QuestionTerm, ...], parts: list[set[int]], texts: list[str]
) -> tuple[QuestionPart, ...]:
    """The parts of a question; one without a name asks of the first, one of names alone the same.

    "the default and the maximum of X" asks for X's default; "the port of X and of Y" for Y's port.
    A part that has several words, or asks for a person, and is not bound to the others may also be
    asked alone. A part without a question word asks for a quantity if the one before does.
    """
    every = range(len(terms))
    names = {i for i in every if terms[i].is_name}
    others = set(every) - names
    groups: dict[tuple[tuple[int, ...], Measure], tuple[int, ...]] = {}
    measure, asks = Measure(), [word_pattern("question").search(text) for text in texts]
    # "the pier, the grid and the pump": a list of things, none of them asked of another
    is_list = (
        len(texts) > 1
        and not any(term.name for term in terms)
        and all(
            (number == 0 or word_pattern("article").match(JOINT.sub("", text, count=1)))
            and not word_pattern("of").search(text)
            for number, text in enumerate(texts)
        )
    )
    for number, text in enumerate(texts):
        own, asked = {i for i in every if number in parts[i]}, _measure_of(text)
        is_own = asks[number] or word_pattern("of").search(text)
        measure = asked if asked.name or is_own else measure
        if not own and not asked.name:
            continue
        group = own | (set() if own & names else set(sorted(names)[:1]))
        group |= set() if group & others or (own and all(asks[number : number + 2])) else others
        is_free = len(own) > 2 - bool(asks[number]) or word_pattern("person").search(text)
        is_whole = word_pattern("of").search(text) and not word_pattern("pronoun").search(text)
        is_free = is_free and (is_whole or not word_pattern("bound").search(text)) or is_list
        is_free = is_free or is_bare_definition(text.strip(" ,"))
        groups[tuple(sorted(group)), measure] = tuple(sorted(own)) if is_free else ()
    found = tuple(QuestionPart(group, own, asked) for (group, asked), own in groups.items())
    return found if 1 < len(found) <= MAX_PARTS else ()


def code_names(text: str) -> Iterator[str]:
    """Yield every exact name in a text, with each of its suffixes after a dot or slash.

    >>> list(code_names("see os.path.join() or open(file)"))
    ['os.path.join', 'path.join', 'join', 'open']
    """
    return chain.from_iterable(map(_names_between_spaces, COLOUR.sub(" ", text).split()))


@lru_cache(2**16)  # most words of a text have occurred before
def _names_between_spaces(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for match in NAME.finditer(text):
        word, is_called = match.group(), text.startswith("(", match.end())
        if len(word) <= MAX_WORD_CHARACTERS and (is_called or _is_code_name(word)):
            names += [word, *_suffixes(word), *filter(_is_code_name, word.split("/")[:-1])]
    return tuple(names)


def _suffixes(name: str) -> list[str]:  # of pathlib.Path.open: Path.open, open
    return [name[match.end() :] for match in re.finditer(r"[./](?=[^\W\d])", name)]


def text_terms(text: str, language: str = FALLBACK, context: str = "") -> TextTerms:
    """Collect the stems and exact names of a text; `context` adds names that surround it."""
    stems = stem_words(text, language)
    pairs = (*zip(stems, stems[1:], strict=False), *(("", n) for n in WHOLE_NUMBER.findall(text)))
    exact_names = code_names(f"{context} {text}" if context else text)
    numbered = {
        (word, number)
        for at, number in enumerate(stems) if number[0].isdigit()
        for word in stems[max(0, at - 2) : at] if not word[0].isdigit()
    }  # fmt: skip
    return TextTerms(
        frozenset(stems), frozenset(pairs), frozenset(exact_names), frozenset(numbered)
    )


def term_credit(term: QuestionTerm, words: TextTerms) -> float:
    """The credit of a term for a text, in [0, 1]."""
    if term.name is not None:
        if term.name in words.names:
            return 1.0
        if any(suffix in words.names for suffix in _suffixes(term.name)[:-1]):
            return SUFFIX_CREDIT
    if not term.stems or term.text[0] == "-":  # an option is there or not
        return 0.0
    share = sum(stem in words.stems for stem in term.stems) / len(term.stems)
    if term.is_numbered:
        return _numbered_credit(term, words, share)
    if term.name is not None and re.search(r"\W\d", term.name):  # AB-12/9, not "AB-12/8 costs 9"
        share *= all(pair in words.pairs for pair in zip(term.stems, term.stems[1:], strict=False))
    if term.is_pair:
        return 1.0 if term.stems in words.pairs else SPLIT_PAIR_CREDIT * share
    return share * (1.0 if term.name is None else SPLIT_NAME_CREDIT)


def _numbered_credit(term: QuestionTerm, words: TextTerms, share: float) -> float:
    """1 for its number, 0 for another one, half if the words and the number are apart."""
    number = tuple(stem for stem in term.stems if stem[0].isdigit())
    word = "".join(term.stems[: len(term.stems) - len(number)][-1:])
    parts = zip(("", *number), number, strict=False)  # 9.1 is no part of 1.9.1
    follow = len(number) == 1 or all(pair in words.pairs for pair in parts)
    if not word:
        return share if follow else 0.0
    for head in (word, ""):  # the first cell of a row is the number of what the table is of
        if follow and (head, number[0]) in words.numbered:
            return 1.0
        if any(head == each for each, _ in words.numbered):
            return 0.0
    return SPLIT_PAIR_CREDIT * share


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

    def score(self, covered: Sequence[float], is_measured: bool) -> float:
        """How well what covers the terms so answers the question, in [0, 1] (quote.py)."""
        near = AROUND_QUANTITY if self.question.measure.name else 1.0
        rows = [
            (term.is_name, c if term.is_name or c > PASSAGE_CREDIT else near * c, weight)
            for term, c, weight in zip(self.question.terms, covered, self.weights, strict=True)
        ]
        named = min((credit for is_name, credit, _ in rows if is_name), default=1.0)
        rest = [(credit, weight) for is_name, credit, weight in rows if not is_name]
        asked = sum(weight * credit for credit, weight in rest if credit > PASSAGE_CREDIT)
        asked = asked / sum(weight for _, weight in rest) if rest else 1.0
        score = self.share([credit for _, credit, _ in rows])
        score *= MISSING_NAME + (1.0 - MISSING_NAME) * named
        score *= MISSING_PROPERTY + (1.0 - MISSING_PROPERTY) * asked
        return score if is_measured else MISSING_QUANTITY * score

    def part(self, indices: Sequence[int], measure: Measure) -> "WeightedQuestion":
        """The question of some of its terms alone, for a quantity of its own."""
        terms = tuple(self.question.terms[i] for i in indices)
        question = self.question._replace(terms=terms, parts=(), measure=measure)
        return WeightedQuestion(question, [self.weights[i] for i in indices])
