"""Lines that are no text: what a site says around a page, by their own words.

Each rule has a name, which is the reason of its edit. Strong rules hold wherever the line stands;
weak ones (`Home`, `Next`, `Search`) want company: another such line beside them, or a place among
the page's first or last lines. Likely ones (`Powered by steam`, `10 votes`) may be prose: a strong
line, or a weak one that goes, must stand beside them, or they are among the last. Lines with a span
`code` are passed over; remains of markup and scripts go only where no code stands beside them.
All patterns are anchored and without nested repetition: linear in the line.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling, Span

INLINE = re.compile(
    r"\[(?:edit|edit source|citation needed|bearbeiten|modifier|editar|modifica)\]"
    r"|[ \t]{0,4}[¶§](?=[ \t]{0,4}(?:\n|\Z))|&nbsp;?",
    re.IGNORECASE,
)
INLINE_REASONS = {"[": "edit marker", "&": "entity"}
ENDS = 3
"""Lines at either end of a page among which a weak rule holds alone."""
RULES = tomllib.loads(Path(__file__).with_name("line_rules.toml").read_text(encoding="utf-8"))
"""Level -> rule -> alternatives; see the file."""


def compiled(level: str) -> re.Pattern[str]:
    """One pattern with a group for each rule of a level."""
    groups = []
    for number, alternatives in enumerate(RULES[level].values()):
        expanded = re.sub(
            r"\(\?&(\w+)\)",
            lambda name: f"(?:{'|'.join(RULES['fragments'][name[1]])})",
            "|".join(alternatives),
        )
        groups.append(f"(?P<r{number}>{expanded})")
    return re.compile("|".join(groups))


LEVELS = ("strong", "weak", "likely")
PATTERNS = {level: compiled(level) for level in (*LEVELS, "remains", "heading")}
CODE = re.compile(r"[{};<>]|[=(]['\"$]|\w\(\)")


class LinesConfig(Config):
    """How short a line must be, and which rules are off."""

    longest_line: int = 400
    """Characters; longer lines are text. Source: own judgement; of the lines beside the text of 120
    marked pages two are longer (460, 490; web_labels.py)."""
    most_remains: float = 0.1
    """Share of lines with signs of code from which a page is about code. Source: own judgement."""
    most_cut: float = 0.5
    """Share of a page above which weak rules are not believed. Source: own judgement."""
    off: tuple[str, ...] = ()
    """Names of rules that are not wanted, such as `breadcrumb`."""


class Found(NamedTuple):
    """A line that a rule names."""

    number: int
    start: int
    end: int
    reason: str
    level: str
    """strong, weak or likely."""


class Lines:
    """web.lines: cuts lines that are no text, each with its rule's name."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config
        self.off = frozenset(config.off)

    def __call__(self, record: Record) -> Ruling:
        """Rule: an edit a line."""
        text = record.text
        lines = spans(text)
        coded = in_code(lines, record.spans)
        chosen = self.chosen(self.find(text, lines, coded), len(lines), len(text))
        edits = [Edit(one.start, min(one.end + 1, len(text)), one.reason) for one in chosen]
        if not edits and not INLINE.search(text):
            return PASS
        return Ruling(edits=tuple(with_inline(record, edits, self.off)))

    def chosen(self, found: list[Found], lines: int, size: int) -> list[Found]:
        """Of the lines that a rule names, those that go."""
        sure = [one for one in found if one.level == "strong"]
        near = beside([one for one in found if one.level != "likely"])
        weak = [
            one
            for one in found
            if one.level == "weak"
            and (one.number in near or one.number < ENDS or one.number >= lines - ENDS)
        ]
        near = beside(sure + weak)
        likely = [
            one
            for one in found
            if one.level == "likely" and (one.number in near or one.number >= lines - ENDS)
        ]
        unsure = weak + likely
        if sum(one.end - one.start for one in unsure) > self.config.most_cut * size:
            unsure = []
        return sorted(sure + unsure)

    def find(self, text: str, lines: list[tuple[int, int]], coded: set[int]) -> list[Found]:
        """Lines that a rule names."""
        found: list[Found] = []
        remains: list[Found] = []
        code = set(coded)
        for number, (start, end) in enumerate(lines):
            line = text[start:end].strip()
            if number in coded:
                continue
            if len(line) > self.config.longest_line:
                if len(line) < 3000 and "{" in line:
                    code.add(number)
                continue
            lower = line.lower()
            if CODE.search(line):
                code.add(number)
            reason, level = rule_of(lower)
            if reason and reason not in self.off:
                found.append(Found(number, start, end, reason, level))
            elif not reason and (remnant := rule_of(lower, ("remains",))[0]):
                kind = f"{remnant} remains"
                if kind not in self.off:
                    remains.append(Found(number, start, end, kind, "strong"))
        if len(code) <= max(2, self.config.most_remains * len(lines)):
            code |= {one.number for one in remains}
            found += [one for one in remains if code.isdisjoint({one.number - 1, one.number + 1})]
        return sorted(found)


def beside(found: list[Found]) -> set[int]:
    """Numbers of the lines before and after some."""
    return {one.number + step for one in found for step in (-1, 1)}


def in_code(lines: list[tuple[int, int]], places: Sequence[Span]) -> set[int]:
    """Numbers of the lines that hold code, by the spans that say so."""
    starts = [start for start, _ in lines]
    found: set[int] = set()
    done = 0
    for _, start, end, _ in sorted(place for place in places if place.kind == "code"):
        number = max(done, bisect_left(starts, start + 1) - 1)
        while 0 <= number < len(lines) and lines[number][0] < end:
            if lines[number][1] > start:
                found.add(number)
            number += 1
        done = max(done, number - 1)
    return found


def rule_of(line: str, levels: Sequence[str] = LEVELS) -> tuple[str, str]:
    """Name and level of the first rule that a line in lower case matches; else two empty strings.

    >>> rule_of("skip to main content"), rule_of("next"), rule_of("the next day it rained")
    (('skip link', 'strong'), ('pager', 'weak'), ('', ''))
    """
    for level in levels:
        if match := PATTERNS[level].fullmatch(line):
            assert match.lastindex is not None, "each rule is a group"
            return list(RULES[level])[match.lastindex - 1], level
    return "", ""


def spans(text: str) -> list[tuple[int, int]]:
    """Places of the lines that are not empty."""
    places, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            places.append((at, at + len(line)))
        at += len(line) + 1
    return places


def with_inline(record: Record, edits: list[Edit], off: frozenset[str]) -> list[Edit]:
    """The edits with those inside lines that stay: edit marks, links to headings, entities."""
    merged, at = [], 0
    code = sorted((end, start) for kind, start, end, _ in record.spans if kind == "code")
    for mark in INLINE.finditer(record.text):
        place = bisect_left(code, (mark.start() + 1,))
        if place < len(code) and code[place][1] < mark.end():
            continue
        while at < len(edits) and edits[at].end <= mark.start():
            merged.append(edits[at])
            at += 1
        reason = INLINE_REASONS.get(mark[0].strip()[:1], "heading link")
        if reason in off or (at < len(edits) and edits[at].start < mark.end()):
            continue
        merged.append(Edit(*mark.span(), reason, put=" " if reason == "entity" else ""))
    return merged + edits[at:]
