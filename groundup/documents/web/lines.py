"""Lines that are no text: what a site says around a page, by their own words.

Each rule has a name, which is the reason of its edit. Strong rules hold wherever the line stands;
weak ones (`Home`, `Next`, `Search`) may be a heading or a key's name, so they want company: another
such line beside them, or a place among the page's first or last lines. Only short lines are looked
at, so a sentence about cookies stays. Remains of markup and scripts go only from pages that are not
about them. All patterns are anchored and without nested repetition: linear in the line.
"""

import re
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .line_rules import REMAINS, STRONG, WEAK

INLINE = re.compile(
    r"\[(?:edit|edit source|citation needed|bearbeiten|modifier|editar|modifica)\]"
    r"|[ \t]{0,4}[¶§](?=[ \t]{0,4}(?:\n|\Z))|&nbsp;?",
    re.IGNORECASE,
)
INLINE_REASONS = {"[": "edit marker", "&": "entity"}
ENDS = 3
"""Lines at either end of a page among which a weak rule holds alone."""


def compiled(rules: dict[str, str]) -> re.Pattern[str]:
    """One pattern with a group for each rule."""
    return re.compile("|".join(f"(?P<r{n}>{rule})" for n, rule in enumerate(rules.values())))


STRONG_PATTERN, WEAK_PATTERN, REMAINS_PATTERN = map(compiled, (STRONG, WEAK, REMAINS))
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
    is_weak: bool


class Lines:
    """web.lines: cuts lines that are no text, each with its rule's name."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config
        self.off = frozenset(config.off)

    def __call__(self, record: Record) -> Ruling:
        """Rule: an edit a line."""
        text = record.text
        lines = spans(text)
        found = self.find(text, lines)
        sure = [one for one in found if not one.is_weak]
        near = {one.number + step for one in found for step in (-1, 1)}
        weak = [
            one
            for one in found
            if one.is_weak
            and (one.number in near or one.number < ENDS or one.number >= len(lines) - ENDS)
        ]
        if sum(one.end - one.start for one in weak) > self.config.most_cut * len(text):
            weak = []
        chosen = sorted(sure + weak)
        edits = [Edit(one.start, min(one.end + 1, len(text)), one.reason) for one in chosen]
        return (
            Ruling(edits=tuple(with_inline(text, edits, self.off)))
            if edits or INLINE.search(text)
            else PASS
        )

    def find(self, text: str, lines: list[tuple[int, int]]) -> list[Found]:
        """Lines that a rule names."""
        found: list[Found] = []
        remains: list[Found] = []
        code = 0
        for number, (start, end) in enumerate(lines):
            line = text[start:end].strip()
            if len(line) > self.config.longest_line:
                if len(line) < 3000 and "{" in line:
                    code += 1
                continue
            code += bool(CODE.search(line))
            reason, is_weak = rule_of(line.lower())
            if reason and reason not in self.off:
                found.append(Found(number, start, end, reason, is_weak))
            elif not reason and (match := REMAINS_PATTERN.fullmatch(line.lower())):
                kind = f"{list(REMAINS)[match.lastindex - 1]} remains"
                if kind not in self.off:
                    remains.append(Found(number, start, end, kind, False))
        if code <= max(2, self.config.most_remains * len(lines)):
            found += remains
        return sorted(found)


def rule_of(line: str) -> tuple[str, bool]:
    """Name of the rule for a line in lower case, and whether it is weak; empty if there is none.

    >>> rule_of("skip to main content"), rule_of("next"), rule_of("the next day it rained")
    (('skip link', False), ('pager', True), ('', False))
    """
    match = STRONG_PATTERN.fullmatch(line)
    if match:
        return list(STRONG)[match.lastindex - 1], False
    match = WEAK_PATTERN.fullmatch(line)
    return (list(WEAK)[match.lastindex - 1], True) if match else ("", False)


def spans(text: str) -> list[tuple[int, int]]:
    """Places of the lines that are not empty."""
    places, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            places.append((at, at + len(line)))
        at += len(line) + 1
    return places


def with_inline(text: str, edits: list[Edit], off: frozenset[str]) -> list[Edit]:
    """The edits with those inside lines that stay: edit marks, links to headings, entities."""
    merged, at = [], 0
    for mark in INLINE.finditer(text):
        while at < len(edits) and edits[at].end <= mark.start():
            merged.append(edits[at])
            at += 1
        reason = INLINE_REASONS.get(mark[0].strip()[:1], "heading link")
        if reason in off or (at < len(edits) and edits[at].start < mark.end()):
            continue
        merged.append(Edit(*mark.span(), reason, put=" " if reason == "entity" else ""))
    return merged + edits[at:]
