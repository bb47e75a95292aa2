"""Porter's stemmer: strip English endings step by step, so that `running` matches `runs`.

A stem is a key, not a word: `happiness` gives `happi`. An ending is removed only if the rest is
long enough by its measure: the number of vowel-consonant sequences.
Source: Porter 1980, doi:10.1108/eb046814, with the extensions that NLTK applies by default (short
words, -ies and -ied of four letters, -y after a consonant, irregular forms), since ROUGE and METEOR
are published with those. Equal to NLTK on every word of WordNet, see docs/benchmarks/agreement.md.
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
STEP_2_ENDINGS = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"),
    ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"),
    ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"),
    ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ("fulli", "ful"),
)  # fmt: skip
STEP_3_ENDINGS = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""),
    ("ness", ""),
)  # fmt: skip
STEP_4_ENDINGS = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=2**16)
def porter_stem(word: str) -> str:
    """The stem of an English word, in lower case; words of one or two letters stay.

    >>> [porter_stem(word) for word in ("Running", "relational", "happiness", "flies", "dies")]
    ['run', 'relat', 'happi', 'fli', 'die']
    """
    result = word.lower()
    if result in IRREGULAR or len(word) <= 2:
        return IRREGULAR.get(result, result)
    result = _step_1b(_step_1a(result))
    if result.endswith("y") and len(result) > 2 and _letter_pattern(result)[-2] == "c":
        result = result[:-1] + "i"  # step 1c: happy → happi, fly → fli; enjoy and by stay
    result = _step_4(_replace_ending(_step_2(result), STEP_3_ENDINGS))
    if result.endswith("e"):  # step 5a: probate → probat, cease → ceas; rate stays
        count = _stem_measure(result[:-1])
        if count > 1 or (count == 1 and not _ends_cvc(result[:-1])):
            result = result[:-1]
    # Step 5b: controll → control; roll stays.
    return result[:-1] if result.endswith("ll") and _stem_measure(result[:-1]) > 1 else result


def _letter_pattern(word: str) -> str:
    """Each letter as c or v; y is a vowel after a consonant. Porter's measure counts its vc."""
    pattern = ""
    for letter in word:
        is_vowel = letter in VOWELS or (letter == "y" and pattern.endswith("c"))
        pattern += "v" if is_vowel else "c"
    return pattern


def _stem_measure(word: str) -> int:
    return _letter_pattern(word).count("vc")


def _ends_cvc(word: str) -> bool:
    """Whether it ends consonant, vowel, consonant other than w, x, y; or is vowel, consonant."""
    letters = _letter_pattern(word)
    return (letters.endswith("cvc") and word[-1] not in "wxy") or letters == "vc"


def _step_1a(word: str) -> str:
    """Step 1a: caresses → caress, ponies → poni, ties → tie, cats → cat."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _step_1b(word: str) -> str:
    """Step 1b: died → die, spied → spi, agreed → agree, plastered → plaster, motoring → motor."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _stem_measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and "v" in _letter_pattern(rest):
            return _restore_stem(rest)
    return word


def _restore_stem(rest: str) -> str:
    """Restore the stem of a past form: conflat → conflate, hopp → hop, fil → file."""
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if len(rest) > 1 and rest[-1] == rest[-2] and _letter_pattern(rest)[-1] == "c":
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _stem_measure(rest) == 1 and _ends_cvc(rest) else rest


def _step_2(word: str) -> str:
    """Step 2: relational → relate, sensibiliti → sensible, geologi → geolog."""
    if word.endswith("alli") and _stem_measure(word[:-4]) > 0:
        return _step_2(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _stem_measure(word[:-3]) > 0 else word
    return _replace_ending(word, STEP_2_ENDINGS)


def _replace_ending(word: str, endings: tuple[tuple[str, str], ...]) -> str:
    """Replace the first matching ending if the rest has a measure above 0."""
    for ending, other in endings:
        if word.endswith(ending):
            rest = word[: -len(ending)]
            return rest + other if _stem_measure(rest) > 0 else word
    return word


def _step_4(word: str) -> str:
    """Step 4: revival → reviv, adoption → adopt, if the rest has a measure above 1."""
    for ending in STEP_4_ENDINGS:
        if word.endswith(ending):
            rest = word[: -len(ending)]
            stays = _stem_measure(rest) <= 1 or (ending == "ion" and rest[-1] not in "st")
            return word if stays else rest
    return word
