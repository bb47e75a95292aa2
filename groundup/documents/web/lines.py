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

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextEdit, TextSpan

INLINE_REASONS = {"[": "edit marker", "&": "entity"}
ENDS = 3  # Lines at either end of a page where a weak rule needs no neighbour
_FILE = Path(__file__).with_name("line_rules.toml")
RULES, RE = read_patterns(_FILE), compile_patterns(_FILE)
"""Level -> rule -> alternative patterns."""


LEVELS = ("strong", "weak", "likely")
PATTERNS = {
    level: re.compile("|".join(f"({'|'.join(rule)})" for rule in RULES[level].values()))
    for level in (*LEVELS, "remains", "heading")
}


class LineFilterConfig(Config):
    """Limits of `web.lines`, and rules that are off."""

    max_line_length: int = 400
    """Characters; longer lines are text. Source: own judgement; of the chrome lines of 120 marked
    pages two are longer (460, 490; web_labels.py)."""
    max_code_share: float = 0.1
    """Share of lines with signs of code from which a page is about code. Source: own judgement."""
    max_removed_share: float = 0.5
    """Share of a page above which weak and likely rules are ignored. Source: own judgement."""
    disabled_rules: tuple[str, ...] = ()
    """Names of rules to disable, such as `menu`."""


class _MatchedLine(NamedTuple):
    number: int
    start: int
    end: int
    reason: str
    level: str  # strong, weak or likely


class LineFilter:
    """Step `web.lines`: removes lines that are not text, with the rule's name as reason."""

    def __init__(self, config: LineFilterConfig) -> None:
        self.config = config
        self.disabled_rules = frozenset(config.disabled_rules)

    def __call__(self, record: Record) -> StepResult:
        text = record.text
        lines = _line_ranges(text)
        coded = _code_line_numbers(lines, record.spans)
        chosen = self._select_removed(self._match_lines(text, lines, coded), len(lines), len(text))
        edits = [TextEdit(line.start, min(line.end + 1, len(text)), line.reason) for line in chosen]
        if not edits and not RE.inline_marks.search(text):
            return PASS
        return StepResult(edits=tuple(_add_inline_edits(record, edits, self.disabled_rules)))

    def _select_removed(
        self, matched: list[_MatchedLine], lines: int, size: int
    ) -> list[_MatchedLine]:
        strong = [line for line in matched if line.level == "strong"]
        near = _adjacent_numbers([line for line in matched if line.level != "likely"])
        near |= {*range(ENDS), *range(lines - ENDS, lines)}
        weak = [line for line in matched if line.level == "weak" and line.number in near]
        near = _adjacent_numbers(strong + weak) | {*range(lines - ENDS, lines)}
        likely = [line for line in matched if line.level == "likely" and line.number in near]
        uncertain = weak + likely
        if sum(line.end - line.start for line in uncertain) > self.config.max_removed_share * size:
            uncertain = []
        return sorted(strong + uncertain)

    def _match_lines(
        self, text: str, lines: list[tuple[int, int]], code_lines: set[int]
    ) -> list[_MatchedLine]:
        matched: list[_MatchedLine] = []
        remains: list[_MatchedLine] = []
        code = set(code_lines)
        for number, (start, end) in enumerate(lines):
            line = text[start:end].strip()
            if number in code_lines:
                continue
            if len(line) > self.config.max_line_length:
                if len(line) < 3000 and "{" in line:
                    code.add(number)
                continue
            lower = line.lower()
            if RE.code_sign.search(line):
                code.add(number)
            reason, level = match_line_rule(lower)
            if reason and reason not in self.disabled_rules:
                matched.append(_MatchedLine(number, start, end, reason, level))
            elif not reason and (remnant := match_line_rule(lower, ("remains",))[0]):
                kind = f"{remnant} remains"
                if kind not in self.disabled_rules:
                    remains.append(_MatchedLine(number, start, end, kind, "strong"))
        if len(code) <= max(2, self.config.max_code_share * len(lines)):
            code |= {line.number for line in remains}
            matched += [line for line in remains if code.isdisjoint(_adjacent_numbers([line]))]
        return sorted(matched)


def _adjacent_numbers(lines: list[_MatchedLine]) -> set[int]:
    return {line.number + step for line in lines for step in (-1, 1)}


def _code_line_numbers(lines: list[tuple[int, int]], spans: Sequence[TextSpan]) -> set[int]:
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


def match_line_rule(line: str, levels: Sequence[str] = LEVELS) -> tuple[str, str]:
    """Name and level of the first rule that a line in lower case matches; else two empty strings.

    >>> [match_line_rule(line) for line in ("skip to main content", "next", "the next day rained")]
    [('skip link', 'strong'), ('pager', 'weak'), ('', '')]
    """
    for level in levels:
        if match := PATTERNS[level].fullmatch(line):
            assert match.lastindex is not None, "each rule is a group"
            return list(RULES[level])[match.lastindex - 1], level
    return "", ""


def _line_ranges(text: str) -> list[tuple[int, int]]:
    ranges, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            ranges.append((at, at + len(line)))
        at += len(line) + 1
    return ranges


def _add_inline_edits(
    record: Record, edits: list[TextEdit], disabled_rules: frozenset[str]
) -> list[TextEdit]:
    merged, at = [], 0
    code = sorted((end, start) for kind, start, end, _ in record.spans if kind == "code")
    for mark in RE.inline_marks.finditer(record.text):
        index = bisect_left(code, (mark.start() + 1,))
        if index < len(code) and code[index][1] < mark.end():
            continue
        while at < len(edits) and edits[at].end <= mark.start():
            merged.append(edits[at])
            at += 1
        reason = INLINE_REASONS.get(mark[0].strip()[:1], "heading link")
        if reason in disabled_rules or (at < len(edits) and edits[at].start < mark.end()):
            continue
        put = " " if reason == "entity" else ""
        merged.append(TextEdit(mark.start(), mark.end(), reason, replacement=put))
    return merged + edits[at:]
