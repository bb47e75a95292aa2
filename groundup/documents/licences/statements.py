"""Statements: does a sentence about copying concern the work, a part of it, or something else?

Patterns of licences' names in eleven languages and of their full texts are data
(statements.toml). A slice is first normalised (dashes, quotes, spaces, words broken over lines),
with a map back. Each licence name is then read in its sentence: what is the subject, is there a
granting verb, is it denied? A badge, a label and a full licence text next to a copyright line also
grant. Allow lists are applied in rights.py.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..patterns import compile_patterns, expand, read_patterns


def _with_optional_vowels(name: str) -> str:
    return r"\s+".join(
        "".join(f"{letter}[\u064b-\u0652]*" for letter in word) for word in name.split()
    )


_FILE = Path(__file__).with_name("statements.toml")
_TABLES, RE = read_patterns(_FILE), compile_patterns(_FILE)
ELEMENTS: dict[str, str] = {
    name: "|".join([*names, _with_optional_vowels(_TABLES["arabic_elements"][name])])
    for name, names in _TABLES["elements"].items()
}
"""Patterns of the elements of Creative Commons licences."""
ANY_ELEMENT = "|".join(ELEMENTS.values())
_BUILT = {
    "ANY_ELEMENT": ANY_ELEMENT,
    "LONG_ELEMENT": "|".join(p.partition("|")[2] for p in ELEMENTS.values()),  # not `by`, `nc`
    "CC_ARABIC": _with_optional_vowels("المشاع الإبداعي"),
}
LICENCES = tuple((expand(row["pattern"], _BUILT), row["id"]) for row in _TABLES["licences"])
"""Names: pattern, and SPDX identifier or the rule that builds it."""
TEXTS = tuple((row["pattern"], row["id"]) for row in _TABLES["texts"])
"""Licences in full, which grant by themselves next to a copyright line."""


_WORDS = {name: "|".join(value) for name, value in _TABLES.items() if isinstance(value, list)
          and isinstance(value[0], str)}  # fmt: skip
KINDS = (
    *LICENCES, *((pattern, f"text {kind}") for pattern, kind in TEXTS),
    (_WORDS["reserved"], "reserved"), (_WORDS["restricts"], "restricted"),
)  # fmt: skip
WORK_SUBJECT = _WORDS["work"]
PART_SUBJECT, OTHER_SUBJECT, MENTIONING, SPEECH_VERB = (
    rf"\b(?:{_WORDS[name]})\b" for name in ("part", "other", "mention", "speaks")
)
GRANTING, GRANTING_TERMS, FILLER = _WORDS["grant"], _WORDS["terms"], _WORDS["filler"]
COPYRIGHT_SIGN = r"©|\(c\)|\bcopyright\b"
EXCEPTION = (
    r"\b(?:except|unless|sauf|salvo|so(?:weit|fern)|wenn\s+nicht|où|tenzij|excepto)\b"
    r"[^,;]{0,120}[,;]"
)
CHOICE = r"\b(?:either|or|dual\w*|choice|option|oder|ou|o)\b"
LATER = r"\bor\s+(?:\(?at\s+your\s+option\)?\s*,?\s+)?(?:any\s+)?later(?:\s+version)?"
LICENCE_LABEL = r"^\W*(?:licen[sc]es?|rights|lizenz|licencia|licenza|licença|licentie)\s*:"
NORMALIZED_CHARACTERS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\ufe58\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u02bc", "'")
)
CONTEXT_BEFORE, CONTEXT_AFTER = 400, 120
"""Characters before and after a name that are examined."""


class RightsStatement(NamedTuple):
    """One statement about rights."""

    licence: str
    """SPDX identifier, `reserved`, or `restricted`."""
    quote: str
    start: int
    end: int
    """End offset of the quote in the text."""
    role: str
    """granted (to the work), part, denied, named, or choice (one of several, not needed)."""


class _RightsMatch(NamedTuple):
    match: re.Match[str]
    kind: str
    licence: str
    role: str


class _NormalizedText(NamedTuple):
    """A normalised slice of the text, with a map to the original."""

    text: str
    offset_pairs: list[tuple[int, int]]
    """Offsets in `text` and in the original, wherever their difference changes."""
    sentences: list[int]  # Start offsets of the sentences, and the end

    def to_original(self, at: int) -> int:
        here, there = self.offset_pairs[bisect_right(self.offset_pairs, (at, 1 << 62)) - 1]
        return there + at - here

    def sentence_bounds(self, at: int) -> tuple[int, int]:
        after = bisect_right(self.sentences, at)
        return self.sentences[after - 1], self.sentences[min(after, len(self.sentences) - 1)]


def find_statements(text: str, start: int, end: int) -> Iterator[RightsStatement]:
    """Yield the statements of a slice in order; of overlapping names the longest."""
    page = _normalize(text, start, end)
    hits: list[_RightsMatch] = []
    matches = ((m, kind) for pattern, kind in KINDS for m in _compiled(pattern).finditer(page.text))
    for match, kind in sorted(matches, key=lambda m: (m[0].start(), -m[0].end())):
        before = hits[-1] if hits else None
        if before is None or match.start() >= before.match.end():
            role = _statement_role(page, match, kind, before)
            hits.append(_RightsMatch(match, kind, _spdx_id(match, kind, page), role))
    last: RightsStatement | None = None
    for at, (match, _, licence, role) in enumerate(hits):
        low, high = page.sentence_bounds(match.start())
        low, high = max(low, match.start() - 200), max(match.end(), min(high, match.end() + 100))
        bounds = page.to_original(low), page.to_original(high)
        quote = " ".join(text[slice(*bounds)].split())[:400]
        statement = RightsStatement(licence, quote, *bounds, role)
        if last and _is_choice(page, hits[at - 1], hits[at]):
            last = last._replace(role="choice")
            statement = last._replace(licence=licence)  # resolved together, by their position
        elif role == "granted" and _is_superseded(page, hits, at):
            statement = statement._replace(role="named")
        if last:
            yield last
        last = statement
    if last:
        yield last


def _normalize(text: str, start: int, end: int) -> _NormalizedText:
    raw = text[start:end].translate(NORMALIZED_CHARACTERS)
    out: list[str] = []
    marks, at, size = [(0, start)], 0, 0
    for match in RE.spaces.finditer(raw):
        gap = match.group()
        new = "" if gap[0] == "-" else "\n" * min(gap.count("\n") + gap.count("\f") * 2, 2) or " "
        out += (raw[at : match.start()], new)
        size += match.start() - at + len(new)
        at = match.end()
        if len(new) != len(gap):
            marks.append((size, start + at))
    normalised = "".join(out) + raw[at:]
    sentences = [0, *(m.end() for m in RE.sentence.finditer(normalised)), len(normalised)]
    return _NormalizedText(normalised, marks, sentences)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _contains(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


def _is_choice(page: _NormalizedText, hit: _RightsMatch, other: _RightsMatch) -> bool:
    between = page.text[hit.match.end() : other.match.start()]
    return (
        hit.role == other.role == "granted"
        and "reserved" not in (hit.kind, other.kind)
        and page.sentence_bounds(hit.match.start()) == page.sentence_bounds(other.match.start())
        and _contains(CHOICE, _compiled(LATER).sub(" ", between))
    )


def _is_superseded(page: _NormalizedText, hits: Sequence[_RightsMatch], at: int) -> bool:
    """Whether a neighbouring statement supersedes this one.

    A bare "Creative Commons" gives way to the exact licence. A reservation gives way to a grant in
    the same sentence, to a full licence text after it, and to Gutenberg's licence, because its
    books reprint the original imprint.
    """
    match, kind, licence, _ = hits[at]
    for other in (*hits[max(0, at - 4) : at], *hits[at + 1 : at + 5]):
        if other.role != "granted" or other.kind in ("reserved", "restricted"):
            continue
        gap = page.text[match.end() : other.match.start()]
        if licence == "LicenseRef-CC" and len(gap) < 200 and other.licence.startswith("CC"):
            return True
        if kind != "reserved":
            continue
        same = page.sentence_bounds(match.start()) == page.sentence_bounds(other.match.start())
        if same and not re.search(r"\n(?=[^\W\d_a-z])", gap):
            return True
        if other.kind.startswith("text ") and 0 < other.match.start() - match.end() < 400:
            return True
    is_reprinted = kind == "reserved" and "copyrighted" not in match.group().lower()
    return is_reprinted and any(
        hit.licence == "LicenseRef-Gutenberg" and hit.role == "granted" for hit in hits[:9]
    )


def _is_direct_speech(page: _NormalizedText, match: re.Match[str]) -> bool:
    """Whether a match is direct speech: in quotes, next to `said the lawyer` or the like."""
    lead = page.text[max(0, match.start() - CONTEXT_AFTER) : match.start()].rsplit("\n\n", 1)[-1]
    tail = page.text[match.end() : match.end() + CONTEXT_AFTER].split("\n\n", 1)[0]
    opens = max(lead.rfind(mark) for mark in '"“„«')
    return opens >= 0 and (
        _contains(rf'^[^"“”«»]*[,.!?]["”“»][\s,]+(?:[\w\'-]+\s+){{0,3}}?{SPEECH_VERB}', tail)
        or _contains(rf"{SPEECH_VERB}(?:\s+[\w'-]+){{0,3}}\s*[,:]\s*$", lead[:opens])
        and _contains('["”“»]', tail)
    )


def _statement_role(
    page: _NormalizedText, match: re.Match[str], kind: str, previous: _RightsMatch | None
) -> str:
    if _is_direct_speech(page, match):
        return "named"
    low, high = page.sentence_bounds(match.start())
    above = page.text[max(0, match.start() - CONTEXT_BEFORE) : match.start()]
    lead = page.text[max(low, match.start() - CONTEXT_BEFORE) : match.start()]
    tail = page.text[match.end() : min(high, match.end() + CONTEXT_AFTER)]
    if _contains(r"^\W*(?:it|they)\b", lead):
        lead = page.text[max(0, low - CONTEXT_AFTER) : low].rsplit("\n\n", 1)[-1] + lead
    if previous and previous.match.end() >= low:
        between = page.text[previous.match.end() : match.start()][-CONTEXT_BEFORE:]
        lead = between if _contains(f"{PART_SUBJECT}|{OTHER_SUBJECT}", between) else lead
    lead = _compiled(EXCEPTION).sub(" ", lead)
    if kind in ("reserved", "restricted", "text Latex2e", "text LicenseRef-Gutenberg"):
        near = f"{WORK_SUBJECT}|{RE.copyright.pattern.removeprefix('(?i)')}"
        is_vague = kind == "restricted" and high - low >= 80 and not _contains(near, lead + tail)
        return "part" if _subject(lead) == "part" else "named" if is_vague else "granted"
    if kind.startswith("text "):
        last = above.rstrip()[-CONTEXT_AFTER:]
        if _contains(rf"{PART_SUBJECT}(?:.(?!\.\s))*$|{OTHER_SUBJECT}[^.]*:$", last):
            return "part"
        return "granted" if _contains(r"©|\(c\)|copyright", above) else "named"
    if _contains(_WORDS["negated"], lead) or _contains(_WORDS["negated_after"], tail):
        return "denied"
    repeats = _contains(r"\b(?:this|the|that)\s+licen[sc]e\b[^.]*$", lead)
    if previous and repeats and "/" in match.group():
        return previous.role
    if _contains(rf"^\W*(?:licen\w+\s+)?appl(?:ies|y)\s+to\s+(?:{WORK_SUBJECT})", tail):
        return "granted"
    if kind == "LicenseRef-public-domain":
        return _public_domain_role(lead, match)
    if _contains(GRANTING_TERMS, lead):
        return _licensed_under_role(lead)
    return _bare_name_role(page, match, lead)


def _public_domain_role(lead: str, match: re.Match[str]) -> str:
    given = match.groupdict().get("given")
    noun = _subject(f"{given} " if given else lead)
    if noun == "part":
        return "part"
    if noun == "work":
        return "named" if _contains(MENTIONING, lead) else "granted"
    if given or noun:
        return "named"
    is_dedicated = _contains(r"^(?:dedicated|released|placed)", match.group())
    is_bare = not _compiled(FILLER).sub("", lead).strip(" \n.,;:-\"'(")
    return "granted" if is_bare and is_dedicated or _contains(r"^\W*this\s*$", lead) else "named"


def _licensed_under_role(lead: str) -> str:
    noun = _subject(lead)
    if noun == "other" or _contains(MENTIONING, lead):
        return "named"
    if noun == "part":
        return "part"
    verb = _compiled(GRANTING).search(lead) or _compiled(GRANTING_TERMS).search(lead)
    subject = lead[: verb.start()] if verb else lead
    if noun == "work" or RE.copyright.search(subject):
        return "granted"
    rest = _compiled(FILLER).sub("", re.sub(r"\b(?:is|are|and)\b", "", subject))
    return "named" if re.search(r"\w", rest) else "granted"


def _bare_name_role(page: _NormalizedText, match: re.Match[str], lead: str) -> str:
    """Role of a name without `under`: on its own line, after a label, or predicated of the work."""
    left = page.text[max(0, match.start() - CONTEXT_BEFORE) : match.start()].rsplit("\n", 1)[-1]
    after = page.text[match.end() : match.end() + CONTEXT_BEFORE]
    right = after.split("\n", 1)[0]
    line, rest = left + match.group() + right, left + " " + right
    noun = _subject(lead)
    if noun == "part":
        is_named = _contains(r"[:,(-]\s*$|\b(?:is|are|by\s+[^.]{3,60})\s*$", lead)
        return "part" if is_named else "named"
    is_predicate = noun == "work" and _contains(r"(?:\bis|:|\()\s*(?:an?\s+|the\s+)?$", lead)
    if is_predicate or _contains(LICENCE_LABEL, line):
        return "granted"
    if noun != "other" and _contains(COPYRIGHT_SIGN, lead[-200:]):
        if not _contains(MENTIONING, lead):
            return "granted"
    if _contains(r"of\s+this\s+license\s+document", after):
        return "named"  # the licence's own title
    words = re.findall(r"[^\W\d_]+", _compiled(FILLER).sub("", rest))
    around = page.text[max(0, match.start() - 250) : match.end() + 250]
    is_notice = _contains(rf"^\W*(?:{COPYRIGHT_SIGN})", line) and len(rest) < CONTEXT_AFTER
    is_tag = "/" in match.group() or "SPDX" in match.group().upper()
    is_alone = len(words) <= 1 and (is_tag or _contains(COPYRIGHT_SIGN, around))
    return "granted" if is_notice or is_alone else "named"


def _subject(lead: str) -> str:
    """Whose licence a sentence is about: work, part, other, or empty if it does not say."""
    for ignored in (
        r"\b(?:for|of|describing|documenting)\s+[^,]{1,60}?" + OTHER_SUBJECT,
        rf"(?:\b(?:and|including|with)|,)\s+(?:(?:its|all|the|their|any)\s+){{0,2}}(?:{PART_SUBJECT}\s*)+",
    ):
        lead = _compiled(ignored).sub("", lead)
    lead = _compiled(rf"({WORK_SUBJECT})\s+is\s+free\s+software\b").sub(r"\1", lead)
    patterns = {"work": WORK_SUBJECT, "part": PART_SUBJECT, "other": OTHER_SUBJECT}
    first = {
        noun: match.start()
        for noun, pattern in patterns.items()
        if (match := _compiled(pattern).search(lead))
    }
    if not first:
        return ""
    name = min(first, key=lambda noun: first[noun])
    if name == "work" and len(first) > 1:
        verb = _compiled(GRANTING).search(lead, first["work"])
        nouns = {noun: at for noun, at in first.items() if not verb or at < verb.start()}
        name = max(nouns, key=lambda noun: nouns[noun]) if nouns else name
    return name


def _spdx_id(match: re.Match[str], kind: str, page: _NormalizedText) -> str:
    groups = match.groupdict()
    version = groups.get("version")
    if kind == "=":
        return groups["id"]
    if kind == "cc":
        high = min(page.sentence_bounds(match.start())[1], match.end() + CONTEXT_AFTER)
        is_limited = _contains(
            rf"\b(?:{ELEMENTS['NC'].removeprefix('nc|')})", page.text[match.end() : high]
        )
        words = groups["cc"] or ("zero" if match.group().lower().endswith("zero") else "")
        return _creative_commons_id(words + (" NC" if is_limited else ""), version)
    if kind == "text Latex2e" and not groups["rest"]:
        return "LicenseRef-verbatim"
    if kind == "GPL":
        letter = (groups.get("gnu") or groups.get("gnu2") or " ")[0].upper()
        kind = {"L": "LGPL", "A": "AGPL"}.get(letter, "GPL")
    if kind in ("GFDL", "GPL", "LGPL", "AGPL") and version:
        return f"{kind}-{version}" if "." in version else f"{kind}-{version}.0"
    return kind.removeprefix("text ")


def _creative_commons_id(words: str, version: str | None) -> str:
    """SPDX identifier of a Creative Commons licence, from its letters or its words."""
    low = words.strip(" -\n").lower()
    if low in ("0", "zero"):
        return "CC0-1.0"
    if low in ("mark", "publicdomain"):
        return "LicenseRef-public-domain"
    bare = re.sub(r"[\s,/()+&:.-]|cc", "", low)
    if re.fullmatch(r"(?:by|nc|nd|sa){1,4}", bare):
        letters = {name for name in ELEMENTS if name.lower() in re.findall("..", bare)}
    else:
        letters = {n for n, names in ELEMENTS.items() if _contains(rf"(?<![^\W_])(?:{names})", low)}
    order = [name for name in ELEMENTS if name in letters]
    return "-".join(["CC", *order, *([version] if version else [])]) if order else "LicenseRef-CC"
