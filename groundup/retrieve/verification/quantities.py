"""Units and dates in one form: "12 m" is "12 metre", "€1,250" "1,250 euro", "March 3" "3 March"."""

import re
from functools import lru_cache

from ..wording.language import FALLBACK, with_digits

UNITS = """
mm millimetre, cm centimetre zentimetre, m metre, km kilometre, mg milligram, g gram,
kg kilogram kilo, t tonne, ml millilitre, l litre, ms millisecond millisekunde,
s second sec sekunde sek, min minute, h hour hr stunde std, kB KB kilobyte, MB megabyte,
GB gigabyte, TB terabyte, W watt, kW kilowatt, V volt, Hz hertz,
% percent prozent, € euro eur, $ dollar usd, £ pound gbp pfund
"""
"""Signs, as they are written, and words in the singular."""
NAMES = {
    each: next(word for word in unit.split() if len(word) > 3)
    for unit in UNITS.split(",") for each in unit.split()
}  # fmt: skip
GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
ENGLISH = "January February March April May June July August September October November December"
MONTHS = {"german": GERMAN.split(), FALLBACK: ENGLISH.split()}
NUMBERS = {name[:3]: at for names in MONTHS.values() for at, name in enumerate(names, 1)}
MONTH = f"(?P<month>(?:{'|'.join([*ENGLISH.split(), *GERMAN.split(), *NUMBERS, 'Sept'])})\\b)\\.?"
YEAR = r"(?P<year>[12]\d{3})\b"
DAY = r"(?<![\d.,:/-])(?P<day>\d{1,2})"
DATES = [
    re.compile(rf"(?<![\d.-]){YEAR}-(?P<number>\d\d)-(?P<day>\d\d)(?![\d-])"),
    re.compile(rf"{DAY}\.(?P<number>\d{{1,2}})\.{YEAR}"),
    re.compile(rf"{DAY}(?:st|nd|rd|th|\.)?\s(?:of\s)?{MONTH}(?:,?\s{YEAR})?"),
    re.compile(rf"\b{MONTH}\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\w%]|[.,:/-]\d)(?:,?\s{YEAR})?"),
]
"""Dates as they are written; a month has a large letter, unlike "may"."""
ON = re.compile(r"\b(?:on|am) \d{1,2} (?=[^\W\d]+ [12]\d{3}\b)", re.IGNORECASE)
SIGNED = re.compile(r"([€$£]|\b(?:EUR|USD|GBP))\s?(\d[\d.,]*\d|\d)")
HOUR = re.compile(r"\b(1[0-2]|0?[1-9])(?:[:.]([0-5]\d))?\s?([ap])(?:m\b|\.m\.?)", re.IGNORECASE)
EARLY = re.compile(r"(?<![\d:.,])0(?=\d:\d\d)")
"""The zero of 08:00."""
YEARS = re.compile(r"(?<![\d.,-])(\d+)[ -](?:month|(Monat))(?:s|e|en)?\b", re.IGNORECASE)
UNIT = re.compile(r"(?<=\d)(?:[ \u00a0\u202f-]?)([^\W\d_]+|[%€$£])(?!\w)")
ROUND = re.compile(r"(?<![\d.,:])(\d+|\d{1,3}(?:[.,]\d{3})+)[.,]00(?![.,]?\d)")
"""An amount without cents: 35.00."""


@lru_cache(2**12)
def with_quantities(text: str, language: str = FALLBACK) -> str:
    """A text with numbers in digits, and with dates and units as they are written most.

    >>> with_quantities("It rose five m on March 3, 2021, by 5 % or €7.00, until 5:30 pm.")
    'It rose 5 metre on 3 March 2021, by 5 percent or 7 euro, until 17:30.'
    """
    text = with_digits(text, language)
    for pattern in DATES:
        text = pattern.sub(lambda found: _date(found, language), text)
    text = EARLY.sub("", HOUR.sub(_hour, YEARS.sub(_years, text)))
    text = ROUND.sub(r"\1", SIGNED.sub(r"\2 \1", text))
    if language == "german":
        text = re.sub(r"(?<=\d)\.(?=\d{3}\b)", "", text)
    return UNIT.sub(_unit, text)


def _date(found: re.Match[str], language: str) -> str:
    parts = found.groupdict()
    month = int(parts.get("number") or NUMBERS[parts["month"][:3]])
    if not 1 <= month <= 12:
        return found[0]
    name = MONTHS.get(language, MONTHS[FALLBACK])[month - 1]
    return " ".join(filter(None, (str(int(parts["day"])), name, parts["year"])))


def _hour(found: re.Match[str]) -> str:
    hour = int(found[1]) % 12 + 12 * (found[3].lower() == "p")
    return f"{hour}:{found[2] or '00'}"


def _years(found: re.Match[str]) -> str:
    years, rest = divmod(int(found[1]), 12)
    return found[0] if rest or not years else f"{years} {'Jahre' if found[2] else 'years'}"


def _unit(found: re.Match[str]) -> str:
    word = re.sub(r"(met|lit)er", r"\1re", re.sub(r"(?<=\w{2})[sn]$", "", found[1].lower()))
    word = re.sub("gramme?$", "gram", word)
    name = NAMES.get(found[1]) or NAMES.get(word if len(found[1]) > 2 else "")
    return f" {name}" if name else found[0]


def without_days(text: str) -> str:
    """A text with "on 3 March 2021" as "in March 2021"."""
    return ON.sub("in ", text)
