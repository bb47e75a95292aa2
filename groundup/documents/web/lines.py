"""Lines that are not text: the template of a site around its pages, recognised by wording.

Each rule has a name, which is the reason of its edit; the patterns are in line_rules.toml. Strong
rules hold anywhere. Weak ones (`Home`, `Next`, `Search`) need a neighbour that a strong or weak
rule matches, or a position among the page's first or last lines. Likely ones (`Powered by steam`,
`Edit`) may be prose: they need a removed strong or weak line as a neighbour, or a position among
the last lines. Lines in a span `code` are skipped; remains of markup and scripts are removed only
without code next to them.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..patterns import read_patterns
from ..record import PASS, Edit, Record, Ruling, Span

INLINE = re.compile(
    r"\[(?:edit|edit source|citation needed|bearbeiten|modifier|editar|modifica)\]"
    r"|[ \t]{0,4}[¶§](?=[ \t]{0,4}(?:\n|\Z))|&nbsp;?",
    re.IGNORECASE,
)
INLINE_REASONS = {"[": "edit marker", "&": "entity"}
ENDS = 3
"""Lines at either end of a page where a weak rule needs no neighbour."""
RULES = read_patterns(Path(__file__).with_name("line_rules.toml"))
"""Level -> rule -> alternative patterns."""


def compiled(level: str) -> re.Pattern[str]:
    """One pattern with a group for each rule of a level."""
    rules = enumerate(map("|".join, RULES[level].values()))
    return re.compile("|".join(f"(?P<r{number}>{rule})" for number, rule in rules))


LEVELS = ("strong", "weak", "likely")
PATTERNS = {level: compiled(level) for level in (*LEVELS, "remains", "heading")}
CODE = re.compile(r"[{};<>]|[=(]['\"$]|\w\(\)")


class LinesConfig(Config):
    """Limits of `web.lines`, and rules that are off."""

    longest_line: int = 400
    """Characters; longer lines are text. Source: own judgement; of the chrome lines of 120 marked
    pages two are longer (460, 490; web_labels.py)."""
    most_remains: float = 0.1
    """Share of lines with signs of code from which a page is about code. Source: own judgement."""
    most_cut: float = 0.5
    """Share of a page above which weak and likely rules are ignored. Source: own judgement."""
    off: tuple[str, ...] = ()
    """Names of rules to disable, such as `menu`."""


class Found(NamedTuple):
    """A line that a rule matches."""

    number: int
    start: int
    end: int
    reason: str
    level: str
    """strong, weak or likely."""


class Lines:
    """Step `web.lines`: removes lines that are not text, with the rule's name as reason."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config
        self.off = frozenset(config.off)

    def __call__(self, record: Record) -> Ruling:
        """Return an edit per removed line."""
        text = record.text
        lines = spans(text)
        coded = in_code(lines, record.spans)
        chosen = self.chosen(self.find(text, lines, coded), len(lines), len(text))
        edits = [Edit(line.start, min(line.end + 1, len(text)), line.reason) for line in chosen]
        if not edits and not INLINE.search(text):
            return PASS
        return Ruling(edits=tuple(with_inline(record, edits, self.off)))

    def chosen(self, matched: list[Found], lines: int, size: int) -> list[Found]:
        """The matched lines that are removed."""
        strong = [line for line in matched if line.level == "strong"]
        near = beside([line for line in matched if line.level != "likely"])
        weak = [
            line
            for line in matched
            if line.level == "weak"
            and (line.number in near or line.number < ENDS or line.number >= lines - ENDS)
        ]
        near = beside(strong + weak)
        likely = [
            line
            for line in matched
            if line.level == "likely" and (line.number in near or line.number >= lines - ENDS)
        ]
        uncertain = weak + likely
        if sum(line.end - line.start for line in uncertain) > self.config.most_cut * size:
            uncertain = []
        return sorted(strong + uncertain)

    def find(self, text: str, lines: list[tuple[int, int]], coded: set[int]) -> list[Found]:
        """Lines that a rule matches."""
        matched: list[Found] = []
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
                matched.append(Found(number, start, end, reason, level))
            elif not reason and (remnant := rule_of(lower, ("remains",))[0]):
                kind = f"{remnant} remains"
                if kind not in self.off:
                    remains.append(Found(number, start, end, kind, "strong"))
        if len(code) <= max(2, self.config.most_remains * len(lines)):
            code |= {line.number for line in remains}
            matched += [
                line for line in remains if code.isdisjoint({line.number - 1, line.number + 1})
            ]
        return sorted(matched)


def beside(lines: list[Found]) -> set[int]:
    """Numbers of the lines before and after each line."""
    return {line.number + step for line in lines for step in (-1, 1)}


def in_code(lines: list[tuple[int, int]], spans: Sequence[Span]) -> set[int]:
    """Numbers of the lines in spans of code."""
    starts = [start for start, _ in lines]
    numbers: set[int] = set()
    done = 0
    for _, start, end, _ in sorted(span for span in spans if span.kind == "code"):
        number = max(done, bisect_left(starts, start + 1) - 1)
        while 0 <= number < len(lines) and lines[number][0] < end:
            if lines[number][1] > start:
                numbers.add(number)
            number += 1
        done = max(done, number - 1)
    return numbers


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
    """Start and end of the lines that are not empty."""
    ranges, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            ranges.append((at, at + len(line)))
        at += len(line) + 1
    return ranges


def with_inline(record: Record, edits: list[Edit], off: frozenset[str]) -> list[Edit]:
    """Add the edits inside kept lines: edit markers, links to headings, entities."""
    merged, at = [], 0
    code = sorted((end, start) for kind, start, end, _ in record.spans if kind == "code")
    for mark in INLINE.finditer(record.text):
        index = bisect_left(code, (mark.start() + 1,))
        if index < len(code) and code[index][1] < mark.end():
            continue
        while at < len(edits) and edits[at].end <= mark.start():
            merged.append(edits[at])
            at += 1
        reason = INLINE_REASONS.get(mark[0].strip()[:1], "heading link")
        if reason in off or (at < len(edits) and edits[at].start < mark.end()):
            continue
        merged.append(Edit(*mark.span(), reason, put=" " if reason == "entity" else ""))
    return merged + edits[at:]
