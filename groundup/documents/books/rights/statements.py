"""Statements: what a sentence about copying says of the work, of a part, or of something else.

A slice is made the same first (dashes, quotes, spaces, words broken over lines) with a map back.
Then each name is read in its sentence: who is the subject, is there a verb that grants, is it
denied? A badge's or a label's line and a licence in full beside a copyright line grant too. Knows
no allow list.
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
"""Characters before and behind a name in which its sentence is read."""


class Statement(NamedTuple):
    """A piece of evidence."""

    licence: str
    """SPDX identifier, `reserved`, or `restricted`."""
    quote: str
    start: int
    end: int
    """Of the quote, in the text."""
    role: str
    """granted (to the work), part, denied, named, or choice (one of several, not needed)."""


class Found(NamedTuple):
    """A name, full text, reservation or restriction on a page."""

    match: re.Match[str]
    kind: str
    licence: str
    role: str


class Page(NamedTuple):
    """A slice of the text with dashes, quotes, spaces and broken words made the same."""

    text: str
    marks: list[tuple[int, int]]
    """Places in `text` and in the original, wherever their distance changes."""
    sentences: list[int]
    """Where sentences begin, and the end."""

    def original(self, at: int) -> int:
        """Place in the original."""
        here, there = self.marks[bisect_right(self.marks, (at, 1 << 62)) - 1]
        return there + at - here

    def sentence(self, at: int) -> tuple[int, int]:
        """Bounds of the sentence at a place."""
        after = bisect_right(self.sentences, at)
        return self.sentences[after - 1], self.sentences[min(after, len(self.sentences) - 1)]


def page_of(text: str, start: int, end: int) -> Page:
    """A slice made the same; a word broken between small letters is one again."""
    piece = text[start:end].translate(SAME)
    out: list[str] = []
    marks, at, size = [(0, start)], 0, 0
    for match in SPACES.finditer(piece):
        gap = match.group()
        new = "" if gap[0] == "-" else "\n" * min(gap.count("\n") + gap.count("\f") * 2, 2) or " "
        out += (piece[at : match.start()], new)
        size += match.start() - at + len(new)
        at = match.end()
        if len(new) != len(gap):
            marks.append((size, start + at))
    plain = "".join(out) + piece[at:]
    sentences = [0, *(m.end() for m in SENTENCE.finditer(plain)), len(plain)]
    return Page(plain, marks, sentences)


def statements(text: str, start: int, end: int) -> Iterator[Statement]:
    """Yield what a slice says about copying, in the order of places; the longest name first."""
    page = page_of(text, start, end)
    found: list[Found] = []
    for match, kind in sorted(matches(page.text), key=lambda one: (one[0].start(), -one[0].end())):
        before = found[-1] if found else None
        if before is None or match.start() >= before.match.end():
            role = role_of(page, match, kind, before)
            found.append(Found(match, kind, identifier(match, kind, page), role))
    last: Statement | None = None
    for at, (match, _, licence, role) in enumerate(found):
        low, high = page.sentence(match.start())
        low, high = max(low, match.start() - 200), max(match.end(), min(high, match.end() + 100))
        places = page.original(low), page.original(high)
        one = Statement(licence, quoted(text[slice(*places)]), *places, role)
        if last and is_choice(page, found[at - 1], found[at]):
            last, one = last._replace(role="choice"), last._replace(role="choice", licence=licence)
        elif role == "granted" and is_settled(page, found, at):
            one = one._replace(role="named")
        if last:
            yield last
        last = one
    if last:
        yield last


def is_choice(page: Page, one: Found, other: Found) -> bool:
    """Whether a sentence offers two licences to choose from."""
    between = page.text[one.match.end() : other.match.start()]
    return (
        one.role == other.role == "granted"
        and "reserved" not in (one.kind, other.kind)
        and page.sentence(one.match.start()) == page.sentence(other.match.start())
        and has(CHOICE, compiled(LATER).sub(" ", between))
    )


def is_settled(page: Page, found: Sequence[Found], at: int) -> bool:
    """Whether what stands beside says more: which Creative Commons licence, what is not reserved.

    Rights are reserved and granted again in the same sentence, by a licence in full behind it, or
    by Gutenberg, whose books reprint the first publisher's imprint.
    """
    match, kind, licence, _ = found[at]
    for other in (*found[max(0, at - 4) : at], *found[at + 1 : at + 5]):
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
        and any(
            one.licence == "LicenseRef-Gutenberg" and one.role == "granted" for one in found[:9]
        )
    )


def matches(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield every name, full text, reservation and restriction."""
    for pattern, kind in LICENCES:
        yield from ((one, kind) for one in compiled(pattern).finditer(text))
    for pattern, kind in TEXTS:
        yield from ((one, f"text {kind}") for one in compiled(pattern).finditer(text))
    yield from ((one, "reserved") for one in compiled(RESERVED).finditer(text))
    yield from ((one, "restricted") for one in compiled(RESTRICTS).finditer(text))


def is_spoken(page: Page, match: re.Match[str]) -> bool:
    """Whether somebody in the text says it: in quotes, and beside them `said the lawyer`."""
    lead = page.text[max(0, match.start() - TAIL) : match.start()].rsplit("\n\n", 1)[-1]
    tail = page.text[match.end() : match.end() + TAIL].split("\n\n", 1)[0]
    opens = max(lead.rfind(mark) for mark in '"“„«')
    return opens >= 0 and (
        has(rf'^[^"“”«»]*[,.!?]["”“»][\s,]+(?:[\w\'-]+\s+){{0,3}}?{SPEAKS}', tail)
        or has(rf"{SPEAKS}(?:\s+[\w'-]+){{0,3}}\s*[,:]\s*$", lead[:opens])
        and has('["”“»]', tail)
    )


def role_of(page: Page, match: re.Match[str], kind: str, before: Found | None) -> str:
    """What a statement is for the work: granted, of a part, denied or only named."""
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
        given = match.groupdict().get("given")
        return given_role(lead, given) if given else domain_role(lead, match.group())
    return granted_role(lead) if has(TERMS, lead) else plain_role(page, match, lead)


def text_role(kind: str, above: str, lead: str) -> str:
    """A licence in full: the work's beside its copyright line, unless it is about a part."""
    if kind in ("text Latex2e", "text LicenseRef-Gutenberg"):
        return "part" if noun_of(lead) == "part" else "granted"
    last = above.rstrip()[-TAIL:]
    if has(rf"{PART}(?:.(?!\.\s))*$", last) or has(rf"{OTHER}[^.]*:$", last):
        return "part"
    return "granted" if has(r"©|\(c\)|copyright", above) else "named"


def domain_role(lead: str, dedication: str) -> str:
    """Public domain: of the work, or by nobody's name behind a dedication."""
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


def given_role(lead: str, given: str) -> str:
    """What somebody dedicates to the public domain: this work, a part, or something else."""
    noun = noun_of(given + " ")
    if noun != "work":
        return "part" if noun == "part" else "named"
    return "named" if has(MENTION, lead) else "granted"


def granted_role(lead: str) -> str:
    """A name behind `licensed under` and the like: whose licence?"""
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
    """A name without `under`: in a line of its own, behind a label, or said of the work."""
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
    """Whose licence a sentence is about: work, part, other, or nothing said.

    >>> noun_of("The examples in this book are under the"), noun_of("This book is under the")
    ('part', 'work')
    """
    lead = compiled(r"\b(?:for|of|describing|documenting)\s+[^,]{1,60}?" + OTHER).sub("", lead)
    lead = compiled(
        rf"(?:\b(?:and|including|with)|,)\s+(?:(?:its|all|the|their|any)\s+){{0,2}}(?:{PART}\s*)+"
    ).sub("", lead)
    lead = compiled(rf"({WORK})\s+is\s+free\s+software\b").sub(r"\1", lead)
    first = {
        name: found.start()
        for name, pattern in (("work", WORK), ("part", PART), ("other", OTHER))
        if (found := compiled(pattern).search(lead))
    }
    if not first:
        return ""
    name = min(first, key=lambda one: first[one])
    if name == "work" and len(first) > 1:
        verb = compiled(GRANT).search(lead, first["work"])
        nouns = {one: at for one, at in first.items() if not verb or at < verb.start()}
        name = max(nouns, key=lambda one: nouns[one]) if nouns else name
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
        letter = next((groups[one] for one in ("gnu", "gnu2") if groups.get(one)), " ")[0].upper()
        kind = {"L": "LGPL", "A": "AGPL"}.get(letter, "GPL")
    if kind in ("GFDL", "GPL", "LGPL", "AGPL") and version:
        return f"{kind}-{version}" if "." in version else f"{kind}-{version}.0"
    return kind.removeprefix("text ")


def quoted(text: str) -> str:
    """A statement in one line."""
    return " ".join(text.split())[:400]
