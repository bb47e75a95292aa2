"""Words of a text as they are indexed and asked for: stems by language, pairs of ideographs.

A text's language is the one whose function words (stopwords.toml) it has most of; a text without
any is read as the fallback. Words are lower-cased, lose their accents and are stemmed (Snowball, in
tantivy); forms.toml has what no ending tells: "took" is "take". Chinese, Japanese and Thai put no
spaces between words: there two neighbouring characters are a word, as in Lucene's CJK analyser.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from groundup.core import import_extra

MAX_WORD_CHARACTERS = 60
FALLBACK = "english"
SAMPLE_CHARACTERS = 20_000
MIN_STOP_SHARE = 0.1
"""Smallest share of function words in prose, of which English has 40 %. Own choice."""
FOREIGN_LETTER, MIN_FOREIGN = re.compile(r"[^\W\d_\x00-\x7f]"), 0.02
"""A letter that English lacks, and the share of a text's characters from which it is foreign."""
UNSTEMMED = {"polish", "ukrainian", "czech", "hebrew", "hindi", "bengali", "vietnamese"}
"""Languages with stop words for which Snowball has no stemmer."""
UNSPACED = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々]+)")
HYPHENATED = re.compile(r"([^\W\d_]{2,})-\r?\n[ \t]*([^\W\d_]{2,})")
"""A word over two lines, as in books; perhaps of two parts, such as "well-known"."""
WORD = re.compile(r"[^\W\d_]{2,}")
COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
"""What terminals take for a colour, as in logs: `\\x1b[31m`."""
INDIC = r"\u0900-\u0963\u0966-\u0df3"
"""Letters and vowel signs of India; Python takes the signs for no part of a word."""
INDIC_WORD = re.compile(rf"[{INDIC}]{{2,}}")
PARTICIPLE = re.compile(r"\b(a[bn]|au[fs]|ein|vor|zu|um|mit|nach|her|hin|los|weg|)ge(\w{3,}t)\b")
PAST = re.compile(r"(?:tet|(?<=[dt])et|t)$")
BEGINNING = re.compile(r"Ge\w{3,}t\b")
"""Of German, in small letters; nouns such as "Geschäft" have a large one, as has a first word."""


@cache
def stop_words() -> dict[str, frozenset[str]]:
    """Stop words by language; those of languages without spaces under "unspaced"."""
    table = tomllib.loads(Path(__file__).with_name("stopwords.toml").read_text(encoding="utf-8"))
    return {language: frozenset(words.split()) for language, words in table.items()}


@cache
def _languages_by_word() -> dict[str, list[str]]:
    spaced = [(name, words) for name, words in stop_words().items() if name != "unspaced"]
    every = frozenset().union(*(words for _, words in spaced))
    return {word: [name for name, words in spaced if word in words] for word in every}


@cache
def _word_lists() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


@cache
def word_pattern(kind: str, end: str = r"\b", language: str = "") -> re.Pattern[str]:
    """A pattern of the words of a kind in words.toml, in all languages or in one.

    end: what follows a word

    >>> word_pattern("negation").findall("Not a cat: keine Katze")
    ['Not', 'keine']
    """
    lists = _word_lists()[kind]
    chosen = [lists.get(language, [])] if language else lists.values()
    words = {word for listed in chosen for word in listed}
    choices = "|".join(re.escape(word).replace(r"\*", r"\w*") for word in sorted(words))
    return re.compile(rf"\b(?:{choices or '(?!)'}){end}", re.IGNORECASE)


def says_opposite(asked: str, text: str) -> bool:
    """Whether a text has the opposite of a word that is asked for, and not the word itself.

    >>> says_opposite("What is its minimum?", "Its maximum is 7.")
    True
    """
    wanted, said = (set(WORD.findall(each.lower())) for each in (asked, text))
    return any(
        one in wanted and one not in said and other in said
        for pairs in _word_lists()["opposite"].values()
        for pair in map(str.split, pairs) for one, other in (pair, pair[::-1])
    )  # fmt: skip


def with_digits(text: str, language: str) -> str:
    """A text with "two" to "twenty" as digits.

    >>> with_digits("Nine of twelve", "english")
    '9 of 12'
    """
    pattern, values = _numbers(language)
    return pattern.sub(lambda found: values[found[0].lower()], text)


@cache
def _numbers(language: str) -> tuple[re.Pattern[str], dict[str, str]]:
    listed = _word_lists()["number"].get(language, [])
    values = {word: str(value) for value, word in enumerate(listed, 2)}
    words = "|".join(sorted(values, key=len, reverse=True)) or "(?!)"  # "dix-sept" before "dix"
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE), values


def language_of(text: str, fallback: str = FALLBACK) -> str:
    """The language whose function words a text has most of; `fallback` below a tenth of its words.

    >>> [language_of(text) for text in ("Wie groß ist der Rand?", "Where is it?", "x86")]
    ['german', 'english', 'english']
    """
    text = text[:SAMPLE_CHARACTERS].lower()
    counts = Counter(WORD.findall(text) + ([] if text.isascii() else INDIC_WORD.findall(text)))
    scores = Counter[str]()
    for word in counts.keys() & _languages_by_word().keys():
        scores.update(dict.fromkeys(_languages_by_word()[word], counts[word]))
    # Of a few words with letters that English lacks, one function word is enough.
    is_foreign = not text.isascii() and len(FOREIGN_LETTER.findall(text)) > MIN_FOREIGN * len(text)
    is_usual = {name: (name == fallback) != is_foreign for name in scores}
    best = max(scores, key=lambda name: (scores[name], is_usual[name]), default=fallback)
    least = MIN_STOP_SHARE / 2 if is_foreign else MIN_STOP_SHARE
    return best if scores.get(best, 0) > least * counts.total() else fallback


def stem_words(text: str, language: str = FALLBACK) -> list[str]:
    """Stems of a text, in order, as in the index.

    >>> stem_words("Opening the files' café"), stem_words("東京都")
    (['open', 'the', 'file', 'cafe'], ['東京', '京都', '東', '京', '都'])
    >>> stem_words("the stop-\\nping distance")
    ['the', 'stop', 'ping', 'stop', 'distanc']
    """
    text = COLOUR.sub(" ", text)
    if "-\n" in text or "-\r\n" in text:
        text = HYPHENATED.sub(r"\g<0> \1\2", text)  # "stop-", "ping" and "stopping"
    if text.isascii() or not UNSPACED.search(text):
        return list(chain.from_iterable(map(_cached_stems(language), text.split())))
    return [stem for part in UNSPACED.split(text) for stem in _stems_of(part, language)]


def _stems_of(part: str, language: str) -> Iterable[str]:
    if not UNSPACED.match(part):
        return chain.from_iterable(map(_cached_stems(language), part.split()))
    return [*(part[i : i + 2] for i in range(len(part) - 1)), *part]


@cache
def _analyser(language: str) -> Any:
    """Words, lower case, no accents, stems; stemmed before accents go, as Snowball needs them."""
    engine = import_extra("tantivy", "retrieve")
    builder = engine.TextAnalyzerBuilder(engine.Tokenizer.simple())
    steps = [engine.Filter.remove_long(MAX_WORD_CHARACTERS), engine.Filter.lowercase()]
    if language == FALLBACK:
        steps.append(engine.Filter.ascii_fold())
    if language not in UNSTEMMED:
        steps.append(engine.Filter.stemmer(language))
    steps.append(engine.Filter.ascii_fold())
    for step in steps:
        builder = builder.filter(step)
    return builder.build()


@cache
def base_stems(language: str) -> dict[str, str]:
    """The stem of the base of each form in forms.toml, by the form's own stem."""
    analyse = _analyser(language).analyze
    table = tomllib.loads(Path(__file__).with_name("forms.toml").read_text(encoding="utf-8"))
    lines = filter(None, (line.split() for line in table.get(language, "").splitlines()))
    return {analyse(form)[0]: analyse(base)[0] for base, *forms in lines for form in forms}


@cache
def _cached_stems(language: str) -> Callable[[str], list[str]]:
    analyse: Callable[[str], list[str]] = _analyser(language).analyze
    bases = base_stems(language)

    @lru_cache(2**16)  # most words have occurred before
    def stems(word: str) -> list[str]:
        if language != "german":
            return [bases.get(stem) or stem for stem in analyse(word)]
        # Of a regular verb: gekauft, kaufte and kauft are stemmed to kauft, and kaufen to kauf.
        begin = [word.lower()] if BEGINNING.match(word) else []  # "Gegründet wurde", or a noun
        forms = (each for part in (word, *begin) for each in analyse(PARTICIPLE.sub(r"\1\2", part)))
        found = [bases.get(stem) or stem for stem in forms]
        return [PAST.sub("", stem) if len(stem) > 3 else stem for stem in found]

    return stems


def is_bare_definition(text: str) -> bool:
    """Whether a text asks what something without an article is: "What is whey"."""
    found = word_pattern("definition").match(text)
    return found is not None and not word_pattern("article").match(text[found.end() + 1 :])
