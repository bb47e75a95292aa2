"""Porter's stemmer: strip English endings step by step, so that `running` matches `runs`.

A stem is a key, not a word: `happiness` gives `happi`. An ending is removed only if the rest is
long enough by its measure: the number of vowel-consonant sequences.
Source: Porter 1980, doi:10.1108/eb046814, with the extensions that NLTK applies by default (short
words, -ies and -ied of four letters, -y after a consonant, irregular forms), since ROUGE and METEOR
are published with those. Equal to NLTK on every word of WordNet, see docs/agreement.md.
"""

from functools import lru_cache

VOWELS = frozenset("aeiou")
IRREGULAR = {
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing",
    "cannings": "canning", "canning": "canning", "howe": "howe", "proceed": "proceed",
    "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip

# The first matching ending applies; longer endings come before their own suffixes.
DERIVED = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"),
    ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"),
    ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"),
    ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ("fulli", "ful"),
)  # fmt: skip
SHORTENED = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""),
    ("ness", ""),
)  # fmt: skip
REMOVED = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of an English word, in lower case; words of one or two letters stay.

    >>> [stem(word) for word in ("Running", "relational", "happiness", "flies", "dies")]
    ['run', 'relat', 'happi', 'fli', 'die']
    """
    result = word.lower()
    if result in IRREGULAR or len(word) <= 2:
        return IRREGULAR.get(result, result)
    result = without_y(without_past(without_plural(result)))
    result = replaced(derived(result), SHORTENED)
    return without_double_l(without_e(without_ending(result)))


def shape(word: str) -> str:
    """Each letter as c or v; y is a vowel after a consonant.

    >>> shape("syzygy"), shape("toy")
    ('cvcvcv', 'cvc')
    """
    pattern = ""
    for letter in word:
        is_vowel = letter in VOWELS or (letter == "y" and pattern.endswith("c"))
        pattern += "v" if is_vowel else "c"
    return pattern


def measure(word: str) -> int:
    """Porter's measure: number of vowel-consonant sequences.

    >>> measure("tree"), measure("trouble"), measure("private")
    (0, 1, 2)
    """
    return shape(word).count("vc")


def ends_short(word: str) -> bool:
    """Whether it ends consonant, vowel, consonant other than w, x, y; or is vowel, consonant."""
    letters = shape(word)
    return (letters.endswith("cvc") and word[-1] not in "wxy") or letters == "vc"


def ends_double(word: str) -> bool:
    """Whether it ends with a consonant twice."""
    return len(word) > 1 and word[-1] == word[-2] and shape(word)[-1] == "c"


def without_plural(word: str) -> str:
    """Step 1a: caresses → caress, ponies → poni, ties → tie, cats → cat."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def without_past(word: str) -> str:
    """Step 1b: died → die, spied → spi, agreed → agree, plastered → plaster, motoring → motor."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and "v" in shape(rest):
            return mended(rest)
    return word


def mended(rest: str) -> str:
    """Restore the stem of a past form: conflat → conflate, hopp → hop, fil → file."""
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if ends_double(rest):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if measure(rest) == 1 and ends_short(rest) else rest


def without_y(word: str) -> str:
    """Step 1c: happy → happi, fly → fli; enjoy and by stay."""
    rest = word.removesuffix("y")
    return rest + "i" if rest != word and len(rest) > 1 and shape(rest)[-1] == "c" else word


def derived(word: str) -> str:
    """Step 2: relational → relate, sensibiliti → sensible, geologi → geolog."""
    if word.endswith("alli") and measure(word[:-4]) > 0:
        return derived(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if measure(word[:-3]) > 0 else word
    return replaced(word, DERIVED)


def replaced(word: str, endings: tuple[tuple[str, str], ...]) -> str:
    """Replace the first matching ending if the rest has a measure above 0."""
    for ending, other in endings:
        if word.endswith(ending):
            rest = word[: -len(ending)]
            return rest + other if measure(rest) > 0 else word
    return word


def without_ending(word: str) -> str:
    """Step 4: revival → reviv, adoption → adopt, if the rest has a measure above 1."""
    for ending in REMOVED:
        if word.endswith(ending):
            rest = word[: -len(ending)]
            stays = measure(rest) <= 1 or (ending == "ion" and rest[-1] not in "st")
            return word if stays else rest
    return word


def without_e(word: str) -> str:
    """Step 5a: probate → probat, cease → ceas; rate stays."""
    rest = word.removesuffix("e")
    if rest == word:
        return word
    count = measure(rest)
    return rest if count > 1 or (count == 1 and not ends_short(rest)) else word


def without_double_l(word: str) -> str:
    """Step 5b: controll → control; roll stays."""
    return word[:-1] if word.endswith("ll") and measure(word[:-1]) > 1 else word
