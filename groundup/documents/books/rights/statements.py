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
    RESTRICTS,
    TEXTS,
    compiled,
    creative_commons,
    has,
    join_phrases,
)

WORK = join_phrases("work").replace("{WORK_NOUNS}", join_phrases("work_nouns"))
PART = rf"\b(?:{join_phrases('part')})\b"
OTHER = rf"\b(?:{join_phrases('other')})\b"
GRANT, TERMS, NEGATED = join_phrases("grant"), join_phrases("terms"), join_phrases("negated")
EXCEPT = (
    r"\b(?:except|unless|sauf|salvo|so(?:weit|fern)|wenn\s+nicht|où|tenzij|excepto)\b"
    r"[^,;]{0,120}[,;]"
)
CHOICE = r"\b(?:either|or|dual\w*|choice|option|oder|ou|o)\b"
LATER = r"\bor\s+(?:\(?at\s+your\s+option\)?\s*,?\s+)?(?:any\s+)?later(?:\s+version)?"
MENTION = rf"\b(?:{join_phrases('mention')})\b"
LABEL = r"^\W*(?:licen[sc]es?|rights|lizenz|licencia|licenza|licença|licentie)\s*:"
SPEAKS = rf"\b(?:{join_phrases('speaks')})\b"
FILLER = join_phrases("filler")
SENTENCE = re.compile(
    r"\n\n|(?<=[.!?])[\"')\]]{0,3}\s(?=[\"'(\[]?[^\W\d_a-zà-ÿ])|。|\n(?=©|\(c\)\s)"
)
SPACES = re.compile(r"(?<=[a-zà-ÿ])-[ \t]*\n[ \t]*(?=[a-zà-ÿ])|\s+")
SAME = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\ufe58\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u02bc", "'")
)
LEAD, TAIL = 400, 120
"""Characters before and after a name that are examined."""


class Statement(NamedTuple):
    """One statement about rights."""

    licence: str
    """SPDX identifier, `reserved`, or `restricted`."""
    quote: str
    start: int
    end: int
    """End offset of the quote in the text."""
    role: str
    """granted (to the work), part, denied, named, or choice (one of several, not needed)."""


class Found(NamedTuple):
    """A licence name, full text, reservation or restriction in the normalised text."""

    match: re.Match[str]
    kind: str
    licence: str
    role: str


class Page(NamedTuple):
    """A normalised slice of the text, with a map to the original."""

    text: str
    marks: list[tuple[int, int]]
    """Offsets in `text` and in the original, wherever their difference changes."""
    sentences: list[int]
    """Start offsets of the sentences, and the end."""

    def original(self, at: int) -> int:
        """Offset in the original."""
        here, there = self.marks[bisect_right(self.marks, (at, 1 << 62)) - 1]
        return there + at - here

    def sentence(self, at: int) -> tuple[int, int]:
        """Bounds of the sentence at an offset."""
        after = bisect_right(self.sentences, at)
        return self.sentences[after - 1], self.sentences[min(after, len(self.sentences) - 1)]


def page_of(text: str, start: int, end: int) -> Page:
    """Normalise a slice; a lower-case word broken over two lines is joined."""
    raw = text[start:end].translate(SAME)
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
    return Page(normalised, marks, sentences)


def statements(text: str, start: int, end: int) -> Iterator[Statement]:
    """Yield the statements of a slice in order; of overlapping names the longest."""
    page = page_of(text, start, end)
    hits: list[Found] = []
    for match, kind in sorted(
        matches(page.text), key=lambda statement: (statement[0].start(), -statement[0].end())
    ):
        before = hits[-1] if hits else None
        if before is None or match.start() >= before.match.end():
            role = role_of(page, match, kind, before)
            hits.append(Found(match, kind, identifier(match, kind, page), role))
    last: Statement | None = None
    for at, (match, _, licence, role) in enumerate(hits):
        low, high = page.sentence(match.start())
        low, high = max(low, match.start() - 200), max(match.end(), min(high, match.end() + 100))
        bounds = page.original(low), page.original(high)
        statement = Statement(licence, quoted(text[slice(*bounds)]), *bounds, role)
        if last and is_choice(page, hits[at - 1], hits[at]):
            last, statement = (
                last._replace(role="choice"),
                last._replace(role="choice", licence=licence),
            )
        elif role == "granted" and is_settled(page, hits, at):
            statement = statement._replace(role="named")
        if last:
            yield last
        last = statement
    if last:
        yield last


def is_choice(page: Page, hit: Found, other: Found) -> bool:
    """Whether a sentence offers two licences to choose from."""
    between = page.text[hit.match.end() : other.match.start()]
    return (
        hit.role == other.role == "granted"
        and "reserved" not in (hit.kind, other.kind)
        and page.sentence(hit.match.start()) == page.sentence(other.match.start())
        and has(CHOICE, compiled(LATER).sub(" ", between))
    )


def is_settled(page: Page, hits: Sequence[Found], at: int) -> bool:
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
        same = page.sentence(match.start()) == page.sentence(other.match.start())
        if same and not re.search(r"\n(?=[^\W\d_a-z])", gap):
            return True
        if other.kind.startswith("text ") and 0 < other.match.start() - match.end() < 400:
            return True
    return (
        kind == "reserved"
        and "copyrighted" not in match.group().lower()
        and any(hit.licence == "LicenseRef-Gutenberg" and hit.role == "granted" for hit in hits[:9])
    )


def matches(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield every match of a name, full text, reservation or restriction, with its kind."""
    for pattern, kind in LICENCES:
        yield from ((match, kind) for match in compiled(pattern).finditer(text))
    for pattern, kind in TEXTS:
        yield from ((match, f"text {kind}") for match in compiled(pattern).finditer(text))
    yield from ((match, "reserved") for match in compiled(RESERVED).finditer(text))
    yield from ((match, "restricted") for match in compiled(RESTRICTS).finditer(text))


def is_spoken(page: Page, match: re.Match[str]) -> bool:
    """Whether a match is direct speech: in quotes, next to `said the lawyer` or the like."""
    lead = page.text[max(0, match.start() - TAIL) : match.start()].rsplit("\n\n", 1)[-1]
    tail = page.text[match.end() : match.end() + TAIL].split("\n\n", 1)[0]
    opens = max(lead.rfind(mark) for mark in '"“„«')
    return opens >= 0 and (
        has(rf'^[^"“”«»]*[,.!?]["”“»][\s,]+(?:[\w\'-]+\s+){{0,3}}?{SPEAKS}', tail)
        or has(rf"{SPEAKS}(?:\s+[\w'-]+){{0,3}}\s*[,:]\s*$", lead[:opens])
        and has('["”“»]', tail)
    )


def role_of(page: Page, match: re.Match[str], kind: str, before: Found | None) -> str:
    """Role of a statement for the work: granted, part, denied or named."""
    if is_spoken(page, match):
        return "named"
    low, high = page.sentence(match.start())
    lead = page.text[max(low, match.start() - LEAD) : match.start()]
    tail = page.text[match.end() : min(high, match.end() + TAIL)]
    if has(r"^\W*(?:it|they)\b", lead):
        lead = page.text[max(0, low - TAIL) : low].rsplit("\n\n", 1)[-1] + lead
    between = page.text[before.match.end() : match.start()][-LEAD:] if before else ""
    if before and before.match.end() >= low and has(f"{PART}|{OTHER}", between):
        lead = between
    lead = compiled(EXCEPT).sub(" ", lead)
    if kind == "reserved":
        return "part" if noun_of(lead) == "part" else "granted"
    if kind == "restricted":
        near = has(f"{WORK}|{COPYRIGHT.pattern}", lead + tail) or high - low < 80
        return "part" if noun_of(lead) == "part" else "granted" if near else "named"
    if kind.startswith("text "):
        above = page.text[max(0, match.start() - LEAD) : match.start()]
        return text_role(kind, above, lead)
    if has(NEGATED, lead) or has(
        r"^\W*(?:licen\w+)?\W*(?:do|does|is|are|may|can)(?:\s+not|n't)|^[^。]{0,40}(?:ではありません|ていません)",
        tail,
    ):
        return "denied"
    if before and has(r"\b(?:this|the|that)\s+licen[sc]e\b[^.]*$", lead) and "/" in match.group():
        return before.role
    if has(rf"^\W*(?:licen\w+\s+)?appl(?:ies|y)\s+to\s+(?:{WORK})", tail):
        return "granted"
    if kind == "LicenseRef-public-domain":
        object_ = match.groupdict().get("given")
        return given_role(lead, object_) if object_ else domain_role(lead, match.group())
    return granted_role(lead) if has(TERMS, lead) else plain_role(page, match, lead)


def text_role(kind: str, above: str, lead: str) -> str:
    """Role of a full licence text: the work's next to a copyright line, unless about a part."""
    if kind in ("text Latex2e", "text LicenseRef-Gutenberg"):
        return "part" if noun_of(lead) == "part" else "granted"
    last = above.rstrip()[-TAIL:]
    if has(rf"{PART}(?:.(?!\.\s))*$", last) or has(rf"{OTHER}[^.]*:$", last):
        return "part"
    return "granted" if has(r"©|\(c\)|copyright", above) else "named"


def domain_role(lead: str, dedication: str) -> str:
    """Role of a public domain statement: about the work, or a dedication without a subject."""
    noun = noun_of(lead)
    if noun in ("work", "part"):
        return (
            "granted"
            if noun == "work" and not has(MENTION, lead)
            else noun.replace("work", "named")
        )
    is_dedicated = has(r"^(?:dedicated|released|placed)", dedication)
    is_bare = not compiled(FILLER).sub("", lead).strip(" \n.,;:-\"'(")
    return "granted" if is_bare and is_dedicated or has(r"^\W*this\s*$", lead) else "named"


def given_role(lead: str, object_: str) -> str:
    """Role of a dedication by its object: this work, a part, or something else."""
    noun = noun_of(object_ + " ")
    if noun != "work":
        return "part" if noun == "part" else "named"
    return "named" if has(MENTION, lead) else "granted"


def granted_role(lead: str) -> str:
    """Role of a name after `licensed under` and the like, by the subject of the sentence."""
    noun = noun_of(lead)
    if noun == "other" or has(MENTION, lead):
        return "named"
    if noun == "part":
        return "part"
    verb = compiled(GRANT).search(lead) or compiled(TERMS).search(lead)
    subject = lead[: verb.start()] if verb else lead
    if noun == "work" or COPYRIGHT.search(subject):
        return "granted"
    rest = compiled(FILLER).sub("", re.sub(r"\b(?:is|are|and)\b", "", subject))
    return "named" if re.search(r"\w", rest) else "granted"


def plain_role(page: Page, match: re.Match[str], lead: str) -> str:
    """Role of a name without `under`: on its own line, after a label, or predicated of the work."""
    left = page.text[max(0, match.start() - LEAD) : match.start()].rsplit("\n", 1)[-1]
    right = page.text[match.end() : match.end() + LEAD].split("\n", 1)[0]
    line, rest = left + match.group() + right, left + " " + right
    noun = noun_of(lead)
    if noun == "part":
        return "part" if has(r"[:,(-]\s*$|\b(?:is|are|by\s+[^.]{3,60})\s*$", lead) else "named"
    if has(LABEL, line) or noun == "work" and has(r"(?:\bis|:|\()\s*(?:an?\s+|the\s+)?$", lead):
        return "granted"
    if has(r"©|\(c\)|\bcopyright\b", lead[-200:]) and noun != "other" and not has(MENTION, lead):
        return "granted"
    words = re.findall(r"[^\W\d_]+", compiled(FILLER).sub("", rest))
    if has(r"of\s+this\s+license\s+document", page.text[match.end() : match.end() + LEAD]):
        return "named"  # the licence's own title
    around = page.text[max(0, match.start() - 250) : match.end() + 250]
    is_notice = has(r"^\W*(?:©|\(c\)|copyright\b)", line) and len(rest) < TAIL
    is_tag = "/" in match.group() or "SPDX" in match.group().upper()
    is_beside = has(r"©|\(c\)|\bcopyright\b", around)
    return "granted" if is_notice or len(words) <= 1 and (is_tag or is_beside) else "named"


def noun_of(lead: str) -> str:
    """Whose licence a sentence is about: work, part, other, or empty if it does not say.

    >>> noun_of("The examples in this book are under the"), noun_of("This book is under the")
    ('part', 'work')
    """
    lead = compiled(r"\b(?:for|of|describing|documenting)\s+[^,]{1,60}?" + OTHER).sub("", lead)
    lead = compiled(
        rf"(?:\b(?:and|including|with)|,)\s+(?:(?:its|all|the|their|any)\s+){{0,2}}(?:{PART}\s*)+"
    ).sub("", lead)
    lead = compiled(rf"({WORK})\s+is\s+free\s+software\b").sub(r"\1", lead)
    first = {
        name: match.start()
        for name, pattern in (("work", WORK), ("part", PART), ("other", OTHER))
        if (match := compiled(pattern).search(lead))
    }
    if not first:
        return ""
    name = min(first, key=lambda noun: first[noun])
    if name == "work" and len(first) > 1:
        verb = compiled(GRANT).search(lead, first["work"])
        nouns = {noun: at for noun, at in first.items() if not verb or at < verb.start()}
        name = max(nouns, key=lambda noun: nouns[noun]) if nouns else name
    return name


def identifier(match: re.Match[str], kind: str, page: Page) -> str:
    """The SPDX identifier of a statement."""
    groups = match.groupdict()
    version = groups.get("version")
    if kind == "=":
        return groups["id"]
    if kind == "cc":
        tail = page.text[match.end() : min(page.sentence(match.start())[1], match.end() + TAIL)]
        more = " NC" if has(rf"\b(?:{ELEMENTS['NC'].removeprefix('nc|')})", tail) else ""
        words = groups["cc"] or ("zero" if match.group().lower().endswith("zero") else "")
        return creative_commons(words + more, version)
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


def quoted(text: str) -> str:
    """A statement on one line, shortened."""
    return " ".join(text.split())[:400]
