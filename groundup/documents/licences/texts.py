"""The licence that a file states by tags, texts and notices, as an SPDX expression with evidence.

The file is split into words. SPDX tags are parsed; known notices and references must match word for
word; licence texts, whose copies differ in names ("THE AUTHOR", "ACME INC."), are matched by runs
of five words close together. Of overlapping matches the longest wins, and the rest are joined by
AND. The known phrases are data (texts.txt.xz, made by benchmarks/documents/licence_texts.py).
Text in strings, denials and mentions are ignored. Knows nothing of folders;
corpus/prepare/folder_licences.py adds their licences.
"""

import lzma
import re
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from groundup.core import Config

from ..code.language import code_language_of, comments_and_strings, language_tables
from ..patterns import compile_patterns, read_patterns
from ..record import Record, StepResult
from .expressions import (
    RENAMED_IDS,
    check_allow_list,
    is_licence_allowed,
    join_expressions,
    read_expression,
)

if TYPE_CHECKING:  # numpy is imported when a licence is looked for, which questions do not
    import numpy

_FILE = Path(__file__).with_name("texts.toml")
_LISTS, RE = read_patterns(_FILE), compile_patterns(_FILE)
MAX_DENIABLE_WORDS, DENIAL_WINDOW = 25, 120
MAX_FIELD = 100
MANIFESTS = frozenset({"json", "toml", "yaml", "ini", "xml", "markdown", "restructuredtext"})
TAG_LINES = 20
RUN_WORDS = 5
MAX_RUN_GAP = 40
MIN_COPY_WORDS = 15
MIN_PHRASE_COVERAGE, MIN_PHRASE_WORDS = 0.7, 25
LICENCE_NAMES: frozenset[str] = frozenset(_LISTS["names"])
SHORT_TEXT_WORDS = 60
# The GPL's name alone: any version. Ignored where a version is stated.
VERSIONLESS = {"GPL-1.0-or-later", "LGPL-2.0-or-later"}
MENTION_KINDS = ("reference", "tag")
MAX_TRIES, FAILED_TRY_COST = 3, 0.1
MIN_NEAR_COVERAGE = 0.4
MAX_CHARACTERS = 1_000_000
TAG_WEIGHT = 10_000

PERMISSIVE: tuple[str, ...] = tuple(_LISTS["permissive"])


class LicenceFilterConfig(Config):
    """Which licences to allow."""

    allow: tuple[str, ...] = PERMISSIVE
    """SPDX ids; a final `*` matches any version, but not NC and ND. Source: the
    permissive list of The Stack (arXiv:2211.15533)."""
    unknown: Literal["drop", "keep"] = "drop"
    """Files that state and inherit no licence, and whose source's `licence` (or their row's) is not
    on the allow list. Keep them if `code.folder_licences`, which reads the parent folders, follows.
    """
    min_coverage: float = 0.85
    """Share of a text's words that must match, in runs of five, close together. Source: own, on
    1,000 files compared with scancode (benchmarks/documents/code_licences.py)."""


class LicenceEvidence(NamedTuple):
    """One statement of a licence in a file."""

    expression: str
    """SPDX."""
    by: str
    """tag, text, notice or reference."""
    line: int
    """Counted from 1."""
    words: int
    """Number of matching words."""


class StatedLicence(NamedTuple):
    """The licence that a file states."""

    expression: str
    """SPDX; empty if it states none."""
    evidence: tuple[LicenceEvidence, ...]


class _LicenceMatch(NamedTuple):
    weight: float
    start: int
    end: int
    expression: str
    by: str


class _LicencePhrases(NamedTuple):
    canonical_words: dict[str, str]
    """Word -> its canonical spelling (licenses -> licence); empty for words to skip (a)."""
    exact_phrases: dict[str, list[tuple[str, str, str]]]
    """First two words, or the only one -> phrases with that beginning, the longest first: words,
    expression, kind."""
    vocabulary: dict[str, int]
    text_labels: list[tuple[str, list[str], frozenset[str]]]
    """For each text: its expression, the phrases that it requires, the names in it."""
    text_sizes: "numpy.ndarray"  # Words of each text
    run_hashes: "numpy.ndarray"  # Hashes of runs of five words, sorted
    run_owners: "numpy.ndarray"  # The text of each run


class LicenceFilter:
    """Step `code.licence`: records the licence of a file, and drops licences not allowed."""

    def __init__(self, config: LicenceFilterConfig) -> None:
        check_allow_list(config.allow)
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        headers = record.metadata.get("aside", {}).get("header", [])  # moved there by code.comments
        text = _blank_strings(record.text, code_language_of(record))
        stated = licence_of("\n".join([*headers, text]), self.config.min_coverage)
        expression, by = stated.expression, "file"
        if not expression and (inherited := record.metadata.get("repository_licence")):
            expression, by = str(inherited), "repository"
        evidence = [[e.expression, e.by, e.line] for e in stated.evidence[:10]]
        metadata = {"licence": expression, "licence_by": by, "licence_evidence": evidence}
        if not expression:
            return self._decide_unstated(record)
        if not is_licence_allowed(expression, self.config.allow):
            return StepResult("code: licence not allowed", details=expression, metadata=metadata)
        return StepResult(metadata=metadata)

    def _decide_unstated(self, record: Record) -> StepResult:
        licence = record.metadata.get("licence") or ""
        licence = join_expressions(map(str, licence)) if isinstance(licence, list) else str(licence)
        if is_licence_allowed(licence, self.config.allow):
            return StepResult(metadata={"licence": licence, "licence_by": "source"})
        drop = self.config.unknown == "drop"
        reason = "code: no licence stated" if drop else ""
        return StepResult(reason, details=licence, metadata={} if licence else {"licence": ""})


@cache
def _load_phrases() -> _LicencePhrases:
    """Read texts.txt.xz; takes about a second, once per process."""
    import numpy as np

    data = (Path(__file__).parent / "texts.txt.xz").read_bytes()
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
        if len(first) > 1 or (kind in MENTION_KINDS and RE.one_word.fullmatch(words)):
            begin = " ".join(first[:2])
            exact.setdefault(begin, []).append((words + " ", expression, kind))
        if kind in ("licence", "text", "notice") and words.count(" ") >= MIN_COPY_WORDS:
            needed = RE.version.findall(words) if kind == "notice" else []
            needed += required.split(";") if required else []
            texts.append((expression, needed, words))
    for alternatives in exact.values():
        alternatives.sort(key=lambda phrase: (-len(phrase[0]), phrase))
    split = [words.split() for _, _, words in texts]
    labels = [
        (label, needed, LICENCE_NAMES.intersection(words))
        for (label, needed, _), words in zip(texts, split, strict=True)
    ]
    vocabulary = {word: id for id, word in enumerate(dict.fromkeys(chain(*split)), 1)}
    sizes = np.array([len(words) for words in split])
    ids = np.fromiter(map(vocabulary.__getitem__, chain(*split)), np.uint64, sizes.sum())
    owners = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
    is_inside = owners[: len(ids) - RUN_WORDS + 1] == owners[RUN_WORDS - 1 :]
    runs, owners = _hash_runs(ids)[is_inside], owners[: len(is_inside)][is_inside]
    order = np.argsort(runs, kind="stable")  # so that the owners of a run rise
    runs, owners = runs[order], owners[order]
    is_new = np.append(True, (runs[1:] != runs[:-1]) | (owners[1:] != owners[:-1]))
    return _LicencePhrases(spelt, exact, vocabulary, labels, sizes, runs[is_new], owners[is_new])


def _hash_runs(ids: "numpy.ndarray | list[int]") -> "numpy.ndarray":
    import numpy as np

    numbers = np.asarray(ids, np.uint64)
    size = max(0, len(ids) - RUN_WORDS + 1)
    total = np.zeros(size, np.uint64)
    for at in range(RUN_WORDS):
        total = (total + numbers[at : at + size]) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def licence_of(text: str, min_coverage: float = 0.85) -> StatedLicence:
    """The licence that a text states.

    >>> licence_of("// SPDX-License-Identifier: (MIT OR Apache-2.0)").expression
    'MIT OR Apache-2.0'
    >>> licence_of("Licensed under the Apache License, Version 2.0").expression
    'Apache-2.0'
    """
    text = text[:MAX_CHARACTERS]
    if not RE.licence_words.search(text):
        return StatedLicence("", ())
    starts, words, spelt = [], [], _load_phrases().canonical_words
    for match in RE.word.finditer(RE.comment_commands.sub(lambda mark: " " * len(mark[0]), text)):
        word = match[0].lower()
        if word := spelt.get(word, word):
            starts.append(match.start())
            words.append(word)
    matches = [*_tag_matches(text, starts), *_notice_matches(words)]
    kept = _select_heaviest([*matches, *_text_matches(words, min_coverage)])
    versions = {m.expression for m in kept if "GPL-" in m.expression} - VERSIONLESS
    if versions:
        kept = [m for m in kept if m.expression not in VERSIONLESS or m.by not in MENTION_KINDS]
    kept = [m for m in kept if m.expression and not _is_denied(text, starts, m)]
    lines = [text.count("\n", 0, starts[m.start]) + 1 for m in kept]
    evidence = tuple(
        LicenceEvidence(m.expression, m.by, line, m.end - m.start)
        for m, line in zip(kept, lines, strict=True)
    )
    return StatedLicence(join_expressions(_join_choices(kept, words)), evidence)


def _blank_strings(text: str, language: str) -> str:
    """Blank a file's strings or, if its language has no comments, tags after the first lines."""
    if not RE.licence_words.search(text):
        return text
    if not language_tables().syntax_families.get(language) or language in MANIFESTS:
        top = "\n".join(text.split("\n", TAG_LINES)[:TAG_LINES])
        return top + RE.tag.sub(lambda tag: " " * len(tag[0]), text[len(top) :])
    kept, at = [], 0
    for piece in comments_and_strings(text, language):
        literal = text[piece.start : piece.end]
        is_field = len(literal) <= MAX_FIELD and (
            RE.field.search(text[max(0, piece.start - 30) : piece.start])
            or literal[1:9] == "License "
        )
        if not piece.is_comment and not is_field:
            kept += [text[at : piece.start], re.sub(r"[^\n]", " ", literal)]
            at = piece.end
    return "".join([*kept, text[at:]])


def _is_denied(text: str, starts: list[int], match: _LicenceMatch) -> bool:
    if match.by == "tag" or match.end - match.start >= MAX_DENIABLE_WORDS:
        return False
    at = starts[match.start]
    return (
        RE.denied.search(RE.sentence.split(text[max(0, at - DENIAL_WINDOW) : at])[-1]) is not None
    )


def _join_choices(kept: list[_LicenceMatch], words: list[str]) -> list[str]:
    """The expressions in order, those with only `or` between them joined by OR."""
    groups: list[list[str]] = []
    for before, match in zip([None, *kept], kept, strict=False):
        between = " ".join(words[before.end : match.start]) + " " if before else ""
        if groups and before and before.by != "text" and RE.choice.fullmatch(between):
            groups[-1].append(match.expression)
        else:
            groups.append([match.expression])
    return [" OR ".join(dict.fromkeys(group)) for group in groups]


def _tag_matches(text: str, starts: list[int]) -> list[_LicenceMatch]:
    matches = []
    for match in RE.tag.finditer(text):
        if expression := read_expression(match[1]):
            start = bisect_left(starts, match.start())
            end = bisect_left(starts, match.start(1) + len(expression))
            expression = RE.id.sub(
                lambda id: _canonical_ids().get(id[0].lower(), id[0]), expression
            )
            matches.append(_LicenceMatch(TAG_WEIGHT, start, max(start + 1, end), expression, "tag"))
    return matches


@cache
def _canonical_ids() -> dict[str, str]:
    """Known SPDX ids by their lower case, since people write `mit`."""
    canonical = {
        *PERMISSIVE,
        *(id for label, *_ in _load_phrases().text_labels for id in RE.id.findall(label)),
    }
    by_lower = {id.lower(): id for id in sorted(canonical)}
    return by_lower | {old.lower(): new for old, new in RENAMED_IDS.items()}


def _notice_matches(words: list[str]) -> list[_LicenceMatch]:
    exact, matches = _load_phrases().exact_phrases, []
    joined, at = " ".join(words) + " ", 0
    for start, word in enumerate(words):
        begin = f"{word} {words[start + 1]}" if start + 1 < len(words) else word
        for phrase, expression, kind in (*exact.get(begin, ()), *exact.get(word, ())):
            if joined.startswith(phrase, at):
                size = phrase.count(" ")
                matches.append(_LicenceMatch(size, start, start + size, expression, kind))
                break
        at += len(word) + 1
    return matches


def _text_matches(words: list[str], min_coverage: float) -> list[_LicenceMatch]:
    import numpy as np

    data = _load_phrases()
    runs = _hash_runs([data.vocabulary.get(word, 0) for word in words])
    first = np.searchsorted(data.run_hashes, runs, "left")
    count = np.searchsorted(data.run_hashes, runs, "right") - first
    positions = np.repeat(np.arange(len(runs)), count)
    offsets = np.arange(len(positions)) - np.repeat(np.cumsum(count) - count, count)
    owners = data.run_owners[np.repeat(first, count) + offsets]
    total = np.bincount(owners.astype(np.int64), minlength=len(data.text_sizes))
    near = np.flatnonzero(total >= MIN_NEAR_COVERAGE * data.text_sizes)
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(total)
    # A notice has hundreds of variants: the best few of each licence are enough.
    tried: dict[str, float] = defaultdict(float)
    matches = []
    for owner in near[np.argsort(-(total[near] ** 2 / data.text_sizes[near]), kind="stable")]:
        expression = data.text_labels[owner][0]
        if tried[expression] < MAX_TRIES:
            at = positions[order[ends[owner] - total[owner] : ends[owner]]]
            more = _partial_matches(int(owner), words, runs, at)
            tried[expression] += 1 if more else FAILED_TRY_COST
            matches += [match for match, coverage in more if coverage >= min_coverage]
    return matches


def _partial_matches(
    owner: int, words: list[str], runs: "numpy.ndarray", at: "numpy.ndarray"
) -> list[tuple[_LicenceMatch, float]]:
    """Where one text's runs are close, and the share of its words (1 with required phrases)."""
    import numpy as np

    data, matches = _load_phrases(), []
    expression, required, names = data.text_labels[owner]
    for group in np.split(at, np.flatnonzero(np.diff(at) > MAX_RUN_GAP) + 1):
        _, first = np.unique(runs[group], return_index=True)
        once = group[np.sort(first)]
        matched = RUN_WORDS + int(np.minimum(np.diff(once), RUN_WORDS).sum())
        coverage = min(1.0, matched / data.text_sizes[owner])
        start, end = int(group[0]), int(group[-1]) + RUN_WORDS
        if coverage < MIN_NEAR_COVERAGE:
            continue
        text, found_names = " ".join(words[start:end]), LICENCE_NAMES & set(words[start:end])
        is_other = data.text_sizes[owner] < SHORT_TEXT_WORDS and names != found_names
        if not is_other and all(phrase in text for phrase in required):
            # Inserted words cost more than a missing end, such as Apache's appendix.
            weight = matched * coverage**0.25 * (matched / (end - start)) ** 2
            is_sure = matched >= MIN_PHRASE_WORDS and coverage >= MIN_PHRASE_COVERAGE
            match = _LicenceMatch(weight, start, end, expression, "text")
            matches.append((match, 1.0 if required and is_sure else coverage))
    return matches


def _select_heaviest(matches: list[_LicenceMatch]) -> list[_LicenceMatch]:
    kept: list[_LicenceMatch] = []
    for match in sorted(matches, key=lambda m: (-m.weight, m.start, m.expression)):
        at = bisect_left(kept, match.start, key=lambda m: m.start)
        free_before = at == 0 or kept[at - 1].end <= match.start
        if free_before and (at == len(kept) or kept[at].start >= match.end):
            kept.insert(at, match)
    return kept
