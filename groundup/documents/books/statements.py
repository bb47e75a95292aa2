"""Statements: does a sentence about copying concern the work, a part of it, or something else?

A slice is first normalised (dashes, quotes, spaces, words broken over lines), with a map back. Each
licence name is then read in its sentence: what is the subject, is there a granting verb, is it
denied? A badge, a label and a full licence text next to a copyright line also grant. Allow lists
are applied in step.py.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .licences import (
    COPYRIGHT,
    ELEMENTS,
    LICENCES,
    RESERVED,
    RESTRICTED,
    TEXTS,
    compile_pattern,
    contains,
    creative_commons_id,
    rights_pattern,
)

WORK_SUBJECT = rights_pattern("work").replace("{WORK_NOUNS}", rights_pattern("work_nouns"))
PART_SUBJECT = rf"\b(?:{rights_pattern('part')})\b"
OTHER_SUBJECT = rf"\b(?:{rights_pattern('other')})\b"
GRANTING, GRANTING_TERMS, NEGATION = (
    rights_pattern("grant"),
    rights_pattern("terms"),
    rights_pattern("negated"),
)
EXCEPTION = (
    r"\b(?:except|unless|sauf|salvo|so(?:weit|fern)|wenn\s+nicht|où|tenzij|excepto)\b"
    r"[^,;]{0,120}[,;]"
)
CHOICE = r"\b(?:either|or|dual\w*|choice|option|oder|ou|o)\b"
LATER = r"\bor\s+(?:\(?at\s+your\s+option\)?\s*,?\s+)?(?:any\s+)?later(?:\s+version)?"
MENTIONING = rf"\b(?:{rights_pattern('mention')})\b"
LICENCE_LABEL = r"^\W*(?:licen[sc]es?|rights|lizenz|licencia|licenza|licença|licentie)\s*:"
SPEECH_VERB = rf"\b(?:{rights_pattern('speaks')})\b"
FILLER = rights_pattern("filler")
SENTENCE = re.compile(
    r"\n\n|(?<=[.!?])[\"')\]]{0,3}\s(?=[\"'(\[]?[^\W\d_a-zà-ÿ])|。|\n(?=©|\(c\)\s)"
)
SPACES = re.compile(r"(?<=[a-zà-ÿ])-[ \t]*\n[ \t]*(?=[a-zà-ÿ])|\s+")
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


class RightsMatch(NamedTuple):
    """A licence name, full text, reservation or restriction in the normalised text."""

    match: re.Match[str]
    kind: str
    licence: str
    role: str


class NormalizedText(NamedTuple):
    """A normalised slice of the text, with a map to the original."""

    text: str
    offset_pairs: list[tuple[int, int]]
    """Offsets in `text` and in the original, wherever their difference changes."""
    sentences: list[int]
    """Start offsets of the sentences, and the end."""

    def to_original(self, at: int) -> int:
        """Offset in the original."""
        here, there = self.offset_pairs[bisect_right(self.offset_pairs, (at, 1 << 62)) - 1]
        return there + at - here

    def sentence_bounds(self, at: int) -> tuple[int, int]:
        """Bounds of the sentence at an offset."""
        after = bisect_right(self.sentences, at)
        return self.sentences[after - 1], self.sentences[min(after, len(self.sentences) - 1)]


def _normalize(text: str, start: int, end: int) -> NormalizedText:
    """Normalise a slice; a lower-case word broken over two lines is joined."""
    raw = text[start:end].translate(NORMALIZED_CHARACTERS)
    out: list[str] = []
    marks, at, size = [(0, start)], 0, 0
    for match in SPACES.finditer(raw):
        gap = match.group()
        new = "" if gap[0] == "-" else "\n" * min(gap.count("\n") + gap.count("\f") * 2, 2) or " "
        out += (raw[at : match.start()], new)
        size += match.start() - at + len(new)
        at = match.end()
        if len(new) != len(gap):
            marks.append((size, start + at))
    normalised = "".join(out) + raw[at:]
    sentences = [0, *(m.end() for m in SENTENCE.finditer(normalised)), len(normalised)]
    return NormalizedText(normalised, marks, sentences)


def find_statements(text: str, start: int, end: int) -> Iterator[RightsStatement]:
    """Yield the statements of a slice in order; of overlapping names the longest."""
    page = _normalize(text, start, end)
    hits: list[RightsMatch] = []
    for match, kind in sorted(
        _find_matches(page.text), key=lambda statement: (statement[0].start(), -statement[0].end())
    ):
        before = hits[-1] if hits else None
        if before is None or match.start() >= before.match.end():
            role = _statement_role(page, match, kind, before)
            hits.append(RightsMatch(match, kind, _spdx_id(match, kind, page), role))
    last: RightsStatement | None = None
    for at, (match, _, licence, role) in enumerate(hits):
        low, high = page.sentence_bounds(match.start())
        low, high = max(low, match.start() - 200), max(match.end(), min(high, match.end() + 100))
        bounds = page.to_original(low), page.to_original(high)
        statement = RightsStatement(licence, _quote(text[slice(*bounds)]), *bounds, role)
        if last and _is_choice(page, hits[at - 1], hits[at]):
            last, statement = (
                last._replace(role="choice"),
                last._replace(role="choice", licence=licence),
            )
        elif role == "granted" and _is_superseded(page, hits, at):
            statement = statement._replace(role="named")
        if last:
            yield last
        last = statement
    if last:
        yield last


def _is_choice(page: NormalizedText, hit: RightsMatch, other: RightsMatch) -> bool:
    """Whether a sentence offers two licences to choose from."""
    between = page.text[hit.match.end() : other.match.start()]
    return (
        hit.role == other.role == "granted"
        and "reserved" not in (hit.kind, other.kind)
        and page.sentence_bounds(hit.match.start()) == page.sentence_bounds(other.match.start())
        and contains(CHOICE, compile_pattern(LATER).sub(" ", between))
    )


def _is_superseded(page: NormalizedText, hits: Sequence[RightsMatch], at: int) -> bool:
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
    return (
        kind == "reserved"
        and "copyrighted" not in match.group().lower()
        and any(hit.licence == "LicenseRef-Gutenberg" and hit.role == "granted" for hit in hits[:9])
    )


def _find_matches(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield every match of a name, full text, reservation or restriction, with its kind."""
    for pattern, kind in LICENCES:
        yield from ((match, kind) for match in compile_pattern(pattern).finditer(text))
    for pattern, kind in TEXTS:
        yield from ((match, f"text {kind}") for match in compile_pattern(pattern).finditer(text))
    yield from ((match, "reserved") for match in compile_pattern(RESERVED).finditer(text))
    yield from ((match, "restricted") for match in compile_pattern(RESTRICTED).finditer(text))


def _is_direct_speech(page: NormalizedText, match: re.Match[str]) -> bool:
    """Whether a match is direct speech: in quotes, next to `said the lawyer` or the like."""
    lead = page.text[max(0, match.start() - CONTEXT_AFTER) : match.start()].rsplit("\n\n", 1)[-1]
    tail = page.text[match.end() : match.end() + CONTEXT_AFTER].split("\n\n", 1)[0]
    opens = max(lead.rfind(mark) for mark in '"“„«')
    return opens >= 0 and (
        contains(rf'^[^"“”«»]*[,.!?]["”“»][\s,]+(?:[\w\'-]+\s+){{0,3}}?{SPEECH_VERB}', tail)
        or contains(rf"{SPEECH_VERB}(?:\s+[\w'-]+){{0,3}}\s*[,:]\s*$", lead[:opens])
        and contains('["”“»]', tail)
    )


def _statement_role(
    page: NormalizedText, match: re.Match[str], kind: str, previous: RightsMatch | None
) -> str:
    """Role of a statement for the work: granted, part, denied or named."""
    if _is_direct_speech(page, match):
        return "named"
    low, high = page.sentence_bounds(match.start())
    lead = page.text[max(low, match.start() - CONTEXT_BEFORE) : match.start()]
    tail = page.text[match.end() : min(high, match.end() + CONTEXT_AFTER)]
    if contains(r"^\W*(?:it|they)\b", lead):
        lead = page.text[max(0, low - CONTEXT_AFTER) : low].rsplit("\n\n", 1)[-1] + lead
    between = page.text[previous.match.end() : match.start()][-CONTEXT_BEFORE:] if previous else ""
    is_same_sentence = previous and previous.match.end() >= low
    if is_same_sentence and contains(f"{PART_SUBJECT}|{OTHER_SUBJECT}", between):
        lead = between
    lead = compile_pattern(EXCEPTION).sub(" ", lead)
    if kind == "reserved":
        return "part" if _subject(lead) == "part" else "granted"
    if kind == "restricted":
        near = contains(f"{WORK_SUBJECT}|{COPYRIGHT.pattern}", lead + tail) or high - low < 80
        return "part" if _subject(lead) == "part" else "granted" if near else "named"
    if kind.startswith("text "):
        above = page.text[max(0, match.start() - CONTEXT_BEFORE) : match.start()]
        return _full_text_role(kind, above, lead)
    if contains(NEGATION, lead) or contains(
        r"^\W*(?:licen\w+)?\W*(?:do|does|is|are|may|can)(?:\s+not|n't)|^[^。]{0,40}(?:ではありません|ていません)",
        tail,
    ):
        return "denied"
    repeats = contains(r"\b(?:this|the|that)\s+licen[sc]e\b[^.]*$", lead) and "/" in match.group()
    if previous and repeats:
        return previous.role
    if contains(rf"^\W*(?:licen\w+\s+)?appl(?:ies|y)\s+to\s+(?:{WORK_SUBJECT})", tail):
        return "granted"
    if kind == "LicenseRef-public-domain":
        if object_ := match.groupdict().get("given"):
            return _dedication_role(lead, object_)
        return _public_domain_role(lead, match.group())
    if contains(GRANTING_TERMS, lead):
        return _licensed_under_role(lead)
    return _bare_name_role(page, match, lead)


def _full_text_role(kind: str, above: str, lead: str) -> str:
    """Role of a full licence text: the work's next to a copyright line, unless about a part."""
    if kind in ("text Latex2e", "text LicenseRef-Gutenberg"):
        return "part" if _subject(lead) == "part" else "granted"
    last = above.rstrip()[-CONTEXT_AFTER:]
    if contains(rf"{PART_SUBJECT}(?:.(?!\.\s))*$", last) or contains(
        rf"{OTHER_SUBJECT}[^.]*:$", last
    ):
        return "part"
    return "granted" if contains(r"©|\(c\)|copyright", above) else "named"


def _public_domain_role(lead: str, dedication: str) -> str:
    """Role of a public domain statement: about the work, or a dedication without a subject."""
    noun = _subject(lead)
    if noun in ("work", "part"):
        return (
            "granted"
            if noun == "work" and not contains(MENTIONING, lead)
            else noun.replace("work", "named")
        )
    is_dedicated = contains(r"^(?:dedicated|released|placed)", dedication)
    is_bare = not compile_pattern(FILLER).sub("", lead).strip(" \n.,;:-\"'(")
    return "granted" if is_bare and is_dedicated or contains(r"^\W*this\s*$", lead) else "named"


def _dedication_role(lead: str, dedicated: str) -> str:
    """Role of a dedication by its object: this work, a part, or something else."""
    noun = _subject(dedicated + " ")
    if noun != "work":
        return "part" if noun == "part" else "named"
    return "named" if contains(MENTIONING, lead) else "granted"


def _licensed_under_role(lead: str) -> str:
    """Role of a name after `licensed under` and the like, by the subject of the sentence."""
    noun = _subject(lead)
    if noun == "other" or contains(MENTIONING, lead):
        return "named"
    if noun == "part":
        return "part"
    verb = compile_pattern(GRANTING).search(lead) or compile_pattern(GRANTING_TERMS).search(lead)
    subject = lead[: verb.start()] if verb else lead
    if noun == "work" or COPYRIGHT.search(subject):
        return "granted"
    rest = compile_pattern(FILLER).sub("", re.sub(r"\b(?:is|are|and)\b", "", subject))
    return "named" if re.search(r"\w", rest) else "granted"


def _bare_name_role(page: NormalizedText, match: re.Match[str], lead: str) -> str:
    """Role of a name without `under`: on its own line, after a label, or predicated of the work."""
    left = page.text[max(0, match.start() - CONTEXT_BEFORE) : match.start()].rsplit("\n", 1)[-1]
    right = page.text[match.end() : match.end() + CONTEXT_BEFORE].split("\n", 1)[0]
    line, rest = left + match.group() + right, left + " " + right
    noun = _subject(lead)
    if noun == "part":
        return "part" if contains(r"[:,(-]\s*$|\b(?:is|are|by\s+[^.]{3,60})\s*$", lead) else "named"
    if (
        contains(LICENCE_LABEL, line)
        or noun == "work"
        and contains(r"(?:\bis|:|\()\s*(?:an?\s+|the\s+)?$", lead)
    ):
        return "granted"
    if (
        contains(r"©|\(c\)|\bcopyright\b", lead[-200:])
        and noun != "other"
        and not contains(MENTIONING, lead)
    ):
        return "granted"
    words = re.findall(r"[^\W\d_]+", compile_pattern(FILLER).sub("", rest))
    if contains(
        r"of\s+this\s+license\s+document", page.text[match.end() : match.end() + CONTEXT_BEFORE]
    ):
        return "named"  # the licence's own title
    around = page.text[max(0, match.start() - 250) : match.end() + 250]
    is_notice = contains(r"^\W*(?:©|\(c\)|copyright\b)", line) and len(rest) < CONTEXT_AFTER
    is_tag = "/" in match.group() or "SPDX" in match.group().upper()
    is_beside = contains(r"©|\(c\)|\bcopyright\b", around)
    return "granted" if is_notice or len(words) <= 1 and (is_tag or is_beside) else "named"


def _subject(lead: str) -> str:
    """Whose licence a sentence is about: work, part, other, or empty if it does not say.

    >>> _subject("The examples in this book are under the"), _subject("This book is under the")
    ('part', 'work')
    """
    lead = compile_pattern(
        r"\b(?:for|of|describing|documenting)\s+[^,]{1,60}?" + OTHER_SUBJECT
    ).sub("", lead)
    lead = compile_pattern(
        rf"(?:\b(?:and|including|with)|,)\s+(?:(?:its|all|the|their|any)\s+){{0,2}}(?:{PART_SUBJECT}\s*)+"
    ).sub("", lead)
    lead = compile_pattern(rf"({WORK_SUBJECT})\s+is\s+free\s+software\b").sub(r"\1", lead)
    first = {
        name: match.start()
        for name, pattern in (
            ("work", WORK_SUBJECT),
            ("part", PART_SUBJECT),
            ("other", OTHER_SUBJECT),
        )
        if (match := compile_pattern(pattern).search(lead))
    }
    if not first:
        return ""
    name = min(first, key=lambda noun: first[noun])
    if name == "work" and len(first) > 1:
        verb = compile_pattern(GRANTING).search(lead, first["work"])
        nouns = {noun: at for noun, at in first.items() if not verb or at < verb.start()}
        name = max(nouns, key=lambda noun: nouns[noun]) if nouns else name
    return name


def _spdx_id(match: re.Match[str], kind: str, page: NormalizedText) -> str:
    """The SPDX identifier of a statement."""
    groups = match.groupdict()
    version = groups.get("version")
    if kind == "=":
        return groups["id"]
    if kind == "cc":
        tail = page.text[
            match.end() : min(page.sentence_bounds(match.start())[1], match.end() + CONTEXT_AFTER)
        ]
        more = " NC" if contains(rf"\b(?:{ELEMENTS['NC'].removeprefix('nc|')})", tail) else ""
        words = groups["cc"] or ("zero" if match.group().lower().endswith("zero") else "")
        return creative_commons_id(words + more, version)
    if kind == "text Latex2e" and not groups["rest"]:
        return "LicenseRef-verbatim"
    if kind == "GPL":
        letter = next((groups[group] for group in ("gnu", "gnu2") if groups.get(group)), " ")[
            0
        ].upper()
        kind = {"L": "LGPL", "A": "AGPL"}.get(letter, "GPL")
    if kind in ("GFDL", "GPL", "LGPL", "AGPL") and version:
        return f"{kind}-{version}" if "." in version else f"{kind}-{version}.0"
    return kind.removeprefix("text ")


def _quote(text: str) -> str:
    """A statement on one line, shortened."""
    return " ".join(text.split())[:400]
