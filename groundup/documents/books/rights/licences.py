"""Licences: patterns of their names in eleven languages and of their full texts.

The patterns are data, in rights.toml. `statements.py` searches for them in text with normalised
dashes, quotes and broken words.
"""

import re
from functools import cache
from pathlib import Path

from ...steps import expand, read_patterns


def _with_optional_vowels(name: str) -> str:
    """A pattern for an Arabic name, with or without vowel marks."""
    return r"\s+".join(
        "".join(f"{letter}[\u064b-\u0652]*" for letter in word) for word in name.split()
    )


_TABLES = read_patterns(Path(__file__).with_name("rights.toml"))
ELEMENTS: dict[str, str] = {
    name: "|".join([*names, _with_optional_vowels(_TABLES["arabic_elements"][name])])
    for name, names in _TABLES["elements"].items()
}
"""Patterns of the elements of Creative Commons licences."""
ANY_ELEMENT = "|".join(ELEMENTS.values())
LONG_ELEMENT_NAME = (
    ANY_ELEMENT.replace("by|", "", 1)
    .replace("nc|", "", 1)
    .replace("nd|", "", 1)
    .replace("sa|", "", 1)
)
_BUILT = {
    "ANY_ELEMENT": ANY_ELEMENT,
    "LONG_ELEMENT": LONG_ELEMENT_NAME,
    "CC_ARABIC": _with_optional_vowels("المشاع الإبداعي"),
}
LICENCES = tuple((expand(row["pattern"], _BUILT), row["id"]) for row in _TABLES["licences"])
"""Names: pattern, and SPDX identifier or the rule that builds it."""
TEXTS = tuple((row["pattern"], row["id"]) for row in _TABLES["texts"])
"""Licences in full, which grant by themselves next to a copyright line."""


def rights_pattern(name: str) -> str:
    """Compile a pattern: case-insensitive, `.` matches line breaks."""
    return "|".join(_TABLES[name])


RESERVED = rights_pattern("reserved")
RESTRICTED = rights_pattern("restricts")
COPYRIGHT = re.compile(
    r"(?:©|\(c\)|\bcopyright\b)(?:\s*(?:©|\(c\)|\bc\b))?[ \t]*"
    r"(?P<years>(?:1[5-9]|20)\d\d(?:[ ,–-]{1,3}(?:and )?(?:(?:1[5-9]|20)\d\d|\d\d\b)){0,40})",
    re.IGNORECASE,
)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern, small letters or capitals, over lines."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def contains(pattern: str, text: str) -> bool:
    """Whether a pattern occurs anywhere in a text."""
    return compile_pattern(pattern).search(text) is not None


def creative_commons_id(words: str, version: str | None) -> str:
    """SPDX identifier of a Creative Commons licence, from its letters or its words.

    >>> creative_commons_id("Attribution - Pas d'Utilisation Commerciale", "4.0")
    'CC-BY-NC-4.0'
    >>> creative_commons_id("zero", None), creative_commons_id("", None)
    ('CC0-1.0', 'LicenseRef-CC')
    """
    low = words.strip(" -\n").lower()
    if low in ("0", "zero"):
        return "CC0-1.0"
    if low in ("mark", "publicdomain"):
        return "LicenseRef-public-domain"
    bare = re.sub(r"[\s,/()+&:.-]|cc", "", low)
    if re.fullmatch(r"(?:by|nc|nd|sa){1,4}", bare):
        letters = re.findall("by|nc|nd|sa", bare)
    else:
        letters = [
            name
            for name, pattern in ELEMENTS.items()
            if contains(rf"(?<![^\W_])(?:{pattern})", low)
        ]
    if not letters:
        return "LicenseRef-CC"
    order = [name for name in ELEMENTS if name in {letter.upper() for letter in letters}]
    return "-".join(["CC", *order, *([version] if version else [])])
