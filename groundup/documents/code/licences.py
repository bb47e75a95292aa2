"""Which licence a file states: tags, whole texts and notices, as an SPDX expression with evidence.

A file becomes its words. An SPDX tag is read as it stands; known notices and references must match
word for word; texts of which a copy says "THE AUTHOR" and another "ACME INC." are found by their
runs of five words, counted where they lie close together. The longest finding wins, what overlaps
it goes, and what is left is joined by AND. The known words are data (licences.txt.xz, made by
benchmarks/licence_texts.py). What stands in strings or is denied or only spoken of states nothing.
Knows nothing of folders; corpus/prepare/folder_licences.py passes theirs on.
"""

import lzma
import re
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import Config

from ..record import Record, Ruling
from .expressions import RENAMED, allowed, checked, join_all, read_expression
from .language import named_language, tables
from .lexing import pieces

WORD = re.compile(r"[^\W_]+\+?")
GATE = re.compile(
    r"licen[cs]|copying|copyright|redistribut|permission|warrant|public domain|spdx|gpl|copyleft"
    r"|unlicense|wtfpl|\bmit\b|\bbsd\b|gnu|free software",
    re.IGNORECASE,
)
TAG = re.compile(
    r"(?<![\"'`])SPDX-License-Identifier[ \t]*[:=][ \t\"']*([^\n]{1,300})", re.IGNORECASE
)
MARKS = re.compile(r"(?<![^\n])[ \t]*(?:@c|@comment|\.\\\")(?=[ \t])", re.IGNORECASE)
# Before a short statement in its sentence: it denies the licence, or only speaks of it.
DENIED = re.compile(
    r"\b(?:not|never|isn't|aren't|no longer|whether|detect\w*|recogni[sz]\w*|looks? for|unlike"
    r"|checks? (?:if|for|that)|(?:in)?compatible with|such as|for example|e\.g\.|instead of)\b",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"[.!?;](?=\s)|\n[ \t*/#;%!-]*\n")
SHORT_WORDS, BEFORE = 25, 120
# Words between two licences of which one may choose.
CHOICE = re.compile(r"(?:at your option )?or (?:(?:at your option|under|the|terms|of|a|an|any) )*")
# A string that is a licence's name all the same: a manifest's field or a classifier.
FIELD = re.compile(r"(?i)licen[cs]e\w*[\"']?\]?\s{0,4}(?:=>|[=:(])\s{0,4}[\[{(]?\s{0,4}$")
MAX_FIELD = 100
MANIFESTS = frozenset({"json", "toml", "yaml", "ini", "xml", "markdown", "restructuredtext"})
TAG_LINES = 20
# The only names that state a licence as one word.
ONE_WORD = re.compile(r"(?:gnu)?[la]?gplv?\d+(?:\+|plus)?")
VERSION = re.compile(r"\bversion \d+(?: \d+)?\b")
ID = re.compile(r"[A-Za-z0-9][\w.+-]*")
RUN = 5
GAP = 40
MIN_COPY_WORDS = 15
WITH_PHRASE, MIN_PHRASE_WORDS = 0.7, 25
# Names of licences: a short notice found only in part must speak of the same ones as the file.
NAMES: frozenset[str] = frozenset(
    "afl agpl apache artistic boost bsd cc0 cddl cecill eclipse epl eupl gfdl gpl isc lgpl mit mpl"
    " mozilla ofl openssl osl perl php polyform psf python ruby unlicense wtfpl zlib zpl".split()
)
SHORT_COPY = 60
# What the GPL's name alone means: any version. It adds nothing where a version is stated.
VERSIONLESS = {"GPL-1.0-or-later", "LGPL-2.0-or-later"}
NAMED = ("reference", "tag")
TRIED, FAILED = 3, 0.1
NEAR = 0.4
MAX_CHARACTERS = 1_000_000
TAG_WORDS = 10_000

# Licences whose texts a permissive corpus may hold. Source: The Stack v1's list of permissive
# licences (Blue Oak Council's ratings of model to lead), cut to those known here.
PERMISSIVE = (
    "0BSD", "AFL-2.1", "AFL-3.0", "Apache-1.0", "Apache-1.1", "Apache-2.0", "Artistic-2.0",
    "BSD-1-Clause", "BSD-2-Clause", "BSD-2-Clause-Views", "BSD-3-Clause", "BSD-3-Clause-Clear",
    "BSL-1.0", "Beerware", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "CNRI-Python", "ECL-2.0", "FSFAP",
    "FTL", "HPND", "ICU", "IJG", "ISC", "ImageMagick", "JSON", "Libpng",
    "LicenseRef-scancode-public-domain",
    "MIT", "MIT-0", "MIT-Modern-Variant", "MS-PL", "NCSA", "NTP", "OLDAP-2.8", "OpenSSL",
    "PHP-3.0", "PHP-3.01", "PSF-2.0", "PostgreSQL", "Python-2.0", "Ruby", "SGI-B-2.0", "SMLNJ",
    "TCL", "UPL-1.0", "Unicode-DFS-2016", "Unicode-3.0", "Unlicense", "Vim", "W3C",
    "W3C-19980720", "W3C-20150513", "WTFPL", "X11", "ZPL-2.0", "ZPL-2.1", "Zlib", "bzip2-1.0.6",
    "libtiff", "zlib-acknowledgement",
)  # fmt: skip


class LicenceConfig(Config):
    """Which licences a corpus of code takes."""

    allow: tuple[str, ...] = PERMISSIVE
    """SPDX ids; `*` at the end stands for a version, but NC and ND must be named. Source: the
    permissive list of The Stack (arXiv:2211.15533)."""
    unknown: Literal["drop", "keep"] = "drop"
    """What becomes of files that state none, inherit none, and whose source's `licence` (or their
    row's) is not on the allow list. Keep them here if the survey
    `code.folder_licences` follows, which looks at the folders above."""
    min_coverage: float = 0.85
    """Share of a text's words that must be found, in runs of five, close together. Source: own, on
    1,000 files beside scancode (benchmarks/code_licences.py)."""


class Evidence(NamedTuple):
    """One place that states a licence."""

    expression: str
    """SPDX."""
    by: str
    """tag, text, notice or reference."""
    line: int
    """Counted from 1."""
    words: int
    """How many words match."""


class Stated(NamedTuple):
    """What a file says of its licence."""

    expression: str
    """SPDX; empty if it says nothing."""
    evidence: tuple[Evidence, ...]


class Found(NamedTuple):
    """A match in the words of a file."""

    weight: float
    start: int
    end: int
    expression: str
    by: str


class Copy(NamedTuple):
    """A text that was found in part."""

    weight: float
    start: int
    end: int
    expression: str
    coverage: float
    """Share of the text's words."""


class Phrases(NamedTuple):
    """licences.txt.xz made ready."""

    spelt: dict[str, str]
    """Words by the one that stands for them (licence, licenses); empty if they say nothing (a)."""
    exact: dict[str, list[tuple[str, str, str]]]
    """First two words, or the only one → phrases that begin so, the longest first: words,
    expression, kind."""
    vocabulary: dict[str, int]
    labels: list[tuple[str, list[str], frozenset[str]]]
    """Of each text: its expression, the phrases without which it is not meant, names it has."""
    sizes: np.ndarray
    """Words of each text."""
    runs: np.ndarray
    """Hashes of runs of five words, sorted."""
    owners: np.ndarray
    """The text of each run."""


class Licence:
    """Step: the licence that a file states, into the metadata as `licence`; others are dropped."""

    def __init__(self, config: LicenceConfig) -> None:
        checked(config.allow)
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        headers = record.metadata.get("aside", {}).get("header", [])  # code.comments put it there
        spoken = without_strings(record.text, named_language(record))
        stated = licence_of("\n".join([*headers, spoken]), self.config.min_coverage)
        expression, by = stated.expression, "file"
        if not expression and (inherited := record.metadata.get("repository_licence")):
            expression, by = str(inherited), "repository"
        evidence = [[e.expression, e.by, e.line] for e in stated.evidence[:10]]
        metadata = {"licence": expression, "licence_by": by, "licence_evidence": evidence}
        if not expression:
            return self.unstated(record)
        if not allowed(expression, self.config.allow):
            return Ruling("code: licence not allowed", details=expression, metadata=metadata)
        return Ruling(metadata=metadata)

    def unstated(self, record: Record) -> Ruling:
        """Rule about a file that states none and inherits none: its row or its source may."""
        known = record.metadata.get("licence") or ""
        known = join_all(map(str, known)) if isinstance(known, list) else str(known)
        if allowed(known, self.config.allow):
            return Ruling(metadata={"licence": known, "licence_by": "source"})
        drop = self.config.unknown == "drop"
        reason = "code: no licence stated" if drop else ""
        return Ruling(reason, details=known, metadata={} if known else {"licence": ""})


@cache
def phrases() -> Phrases:
    """Read the licences' words; takes about a second, once a process."""
    data = (Path(__file__).parent / "licences.txt.xz").read_bytes()
    exact: dict[str, list[tuple[str, str, str]]] = {}
    texts: list[tuple[str, list[str], str]] = []
    spelt: dict[str, str] = {}
    for line in lzma.decompress(data).decode("utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, expression, required, words = line.split("|")
        if kind == "word":
            spelt[words] = expression
            continue
        first = words.split(" ", 2)
        if len(first) > 1 or (kind in NAMED and ONE_WORD.fullmatch(words)):
            begin = " ".join(first[:2])
            exact.setdefault(begin, []).append((words + " ", expression, kind))
        if kind in ("licence", "text", "notice") and words.count(" ") >= MIN_COPY_WORDS:
            needed = VERSION.findall(words) if kind == "notice" else []
            needed += required.split(";") if required else []
            texts.append((expression, needed, words))
    for same in exact.values():
        same.sort(key=lambda one: (-len(one[0]), one))
    vocabulary: dict[str, int] = {}
    hashed, owners, sizes = [], [], []
    for owner, (_, _, words) in enumerate(texts):
        ids = [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words.split()]
        runs = np.unique(runs_of(ids))
        hashed.append(runs)
        owners.append(np.full(len(runs), owner, np.int32))
        sizes.append(len(ids))
    runs, owner_of = np.concatenate(hashed), np.concatenate(owners)
    order = np.argsort(runs, kind="stable")
    labels = [(label, needed, NAMES & set(words.split())) for label, needed, words in texts]
    sizes = np.array(sizes)
    return Phrases(spelt, exact, vocabulary, labels, sizes, runs[order], owner_of[order])


def runs_of(ids: list[int]) -> np.ndarray:
    """A hash of each run of five words."""
    numbers = np.array(ids, np.uint64)
    size = max(0, len(ids) - RUN + 1)
    total = np.zeros(size, np.uint64)
    for at in range(RUN):
        total = (total + numbers[at : at + size]) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def licence_of(text: str, min_coverage: float = 0.85) -> Stated:
    """The licence that a text states.

    >>> licence_of("// SPDX-License-Identifier: (MIT OR Apache-2.0)").expression
    'MIT OR Apache-2.0'
    >>> licence_of("Licensed under the Apache License, Version 2.0").expression
    'Apache-2.0'
    """
    text = text[:MAX_CHARACTERS]
    if not GATE.search(text):
        return Stated("", ())
    starts, words, spelt = [], [], phrases().spelt
    for found in WORD.finditer(MARKS.sub(lambda mark: " " * len(mark[0]), text)):
        word = found[0].lower()
        if word := spelt.get(word, word):
            starts.append(found.start())
            words.append(word)
    matches = [*tags(text, starts), *notices(words), *copies(words, min_coverage)]
    kept = [m for m in specific(longest(matches)) if not is_denied(text, starts, m)]
    evidence = tuple(
        Evidence(m.expression, m.by, text.count("\n", 0, starts[m.start]) + 1, m.end - m.start)
        for m in kept
        if m.expression
    )
    return Stated(join_all(choices([m for m in kept if m.expression], words)), evidence)


def without_strings(text: str, language: str) -> str:
    """A file without what its strings say and, where it has no comments, without late tags.

    >>> without_strings('X = "SPDX-License-Identifier: MIT"  # a', "python").split()
    ['X', '=', '#', 'a']
    """
    if not GATE.search(text):
        return text
    if not tables().syntax.get(language) or language in MANIFESTS:
        top = "\n".join(text.split("\n", TAG_LINES)[:TAG_LINES])
        return top + TAG.sub(lambda tag: " " * len(tag[0]), text[len(top) :])
    kept, at = [], 0
    for piece in pieces(text, language):
        said = text[piece.start : piece.end]
        is_field = len(said) <= MAX_FIELD and (
            FIELD.search(text[max(0, piece.start - 30) : piece.start]) or said[1:9] == "License "
        )
        if not piece.is_comment and not is_field:
            kept += [text[at : piece.start], re.sub(r"[^\n]", " ", said)]
            at = piece.end
    return "".join([*kept, text[at:]])


def is_denied(text: str, starts: list[int], match: Found) -> bool:
    """Whether a short statement is denied or only spoken of in its sentence."""
    if match.by == "tag" or match.end - match.start >= SHORT_WORDS:
        return False
    at = starts[match.start]
    return DENIED.search(SENTENCE.split(text[max(0, at - BEFORE) : at])[-1]) is not None


def choices(kept: list[Found], words: list[str]) -> list[str]:
    """The expressions in order, those with a mere `or` between them as a choice.

    >>> licence_of("either the GPL v2 or the MIT license, at your option").expression
    'GPL-2.0-only OR MIT'
    """
    groups: list[list[str]] = []
    for before, match in zip([None, *kept], kept, strict=False):
        between = " ".join(words[before.end : match.start]) + " " if before else ""
        if groups and before and before.by != "text" and CHOICE.fullmatch(between):
            groups[-1].append(match.expression)
        else:
            groups.append([match.expression])
    return [" OR ".join(dict.fromkeys(group)) for group in groups]


def tags(text: str, starts: list[int]) -> list[Found]:
    """SPDX tags."""
    found = []
    for match in TAG.finditer(text):
        if expression := read_expression(match[1]):
            start = bisect_left(starts, match.start())
            end = bisect_left(starts, match.start(1) + len(expression))
            expression = ID.sub(lambda id: ids().get(id[0].lower(), id[0]), expression)
            found.append(Found(TAG_WORDS, start, max(start + 1, end), expression, "tag"))
    return found


@cache
def ids() -> dict[str, str]:
    """Known SPDX ids by their small letters, for people write `mit`."""
    known = {*PERMISSIVE, *(id for label, *_ in phrases().labels for id in ID.findall(label))}
    named = {id.lower(): id for id in sorted(known)}
    return named | {old.lower(): new for old, new in RENAMED.items()}


def notices(words: list[str]) -> list[Found]:
    """Known notices and references, word for word; the longest at each word."""
    exact, found = phrases().exact, []
    joined, at = " ".join(words) + " ", 0
    for start, word in enumerate(words):
        begin = f"{word} {words[start + 1]}" if start + 1 < len(words) else word
        for phrase, expression, kind in (*exact.get(begin, ()), *exact.get(word, ())):
            if joined.startswith(phrase, at):
                size = phrase.count(" ")
                found.append(Found(size, start, start + size, expression, kind))
                break
        at += len(word) + 1
    return found


def copies(words: list[str], min_coverage: float) -> list[Found]:
    """Texts of which enough runs of five words lie close together."""
    known = phrases()
    runs = runs_of([known.vocabulary.get(word, 0) for word in words])
    first = np.searchsorted(known.runs, runs, "left")
    count = np.searchsorted(known.runs, runs, "right") - first
    places = np.repeat(np.arange(len(runs)), count)
    offsets = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
    owners = known.owners[np.repeat(first, count) + offsets]
    total = np.bincount(owners, minlength=len(known.sizes)) if len(owners) else known.sizes * 0
    near = np.flatnonzero(total >= NEAR * known.sizes)
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(total)
    # A notice has hundreds of variants: the fullest few of each licence are enough.
    tried: dict[str, float] = defaultdict(float)
    found = []
    for owner in near[np.argsort(-(total[near] ** 2 / known.sizes[near]), kind="stable")]:
        expression = known.labels[owner][0]
        if tried[expression] < TRIED:
            at = places[order[ends[owner] - total[owner] : ends[owner]]]
            more = copies_of(int(owner), words, runs, at)
            tried[expression] += 1 if more else FAILED
            found += [one for one in more if one.coverage >= min_coverage]
    return [Found(one.weight, one.start, one.end, one.expression, "text") for one in found]


def copies_of(owner: int, words: list[str], runs: np.ndarray, at: np.ndarray) -> list[Copy]:
    """The places where one text's runs lie close together, with the phrases that it needs."""
    known, found = phrases(), []
    expression, required, names = known.labels[owner]
    for group in np.split(at, np.flatnonzero(np.diff(at) > GAP) + 1):
        _, first = np.unique(runs[group], return_index=True)
        once = group[np.sort(first)]
        matched = RUN + int(np.minimum(np.diff(once), RUN).sum())
        coverage = min(1.0, matched / known.sizes[owner])
        start, end = int(group[0]), int(group[-1]) + RUN
        if coverage >= NEAR:
            said = " ".join(words[start:end])
            is_other = known.sizes[owner] < SHORT_COPY and names != NAMES & set(words[start:end])
            if not is_other and all(phrase in said for phrase in required):
                # Words in between weigh more than an end that is missing: see Apache's appendix.
                weight = matched * coverage**0.25 * (matched / (end - start)) ** 2
                is_sure = required and matched >= MIN_PHRASE_WORDS and coverage >= WITH_PHRASE
                coverage = 1.0 if is_sure else coverage
                found.append(Copy(weight, start, end, expression, coverage))
    return found


def specific(kept: list[Found]) -> list[Found]:
    """The matches without mere names of the GPL where others say which version is meant."""
    said = {m.expression for m in kept if "GPL-" in m.expression} - VERSIONLESS
    return [m for m in kept if not (m.expression in VERSIONLESS and m.by in NAMED and said)]


def longest(matches: list[Found]) -> list[Found]:
    """The matches that win, in order: each the weightiest of those that overlap it."""
    kept: list[Found] = []
    for match in sorted(matches, key=lambda m: (-m.weight, m.start, m.expression)):
        at = bisect_left(kept, match.start, key=lambda m: m.start)
        free_before = at == 0 or kept[at - 1].end <= match.start
        if free_before and (at == len(kept) or kept[at].start >= match.end):
            kept.insert(at, match)
    return kept
