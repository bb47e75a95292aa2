"""The page of a dry run: records before and after each step, side by side, removals struck out.

A step that extracts text from bytes is shown with all the text that it found and what it omitted
struck out; long unchanged segments are folded. Unreadable files come first, with their reasons.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import page, record, write_text
from groundup.documents import NOT_DOCUMENT_REASONS

from ..engine.job import READ_STEP
from ..prepare.dry_run import DryRunRow
from .reading import format_count

SHOWN_CHARACTERS = 6_000
FOLD_CHARACTERS = 400  # Characters shown at either end of a folded segment
MAX_EXAMPLES = 4
MAX_PAGE_BYTES = 4 * 2**20


class _TextSegment(NamedTuple):
    text: str
    is_before: bool = True  # Whether it is in the text before the step
    is_after: bool = True
    reason: str = ""  # Why it was removed or inserted; empty if unchanged


def dry_run_page(rows: Sequence[DryRunRow], out: Path) -> Path:
    """Write the page of a dry run and return its path.

    A record's unchanged steps are listed in one line; of a long text the start is shown.
    """
    steps = [row for row in rows if row.step != READ_STEP]
    unread = sum(row.step == READ_STEP and bool(row.reason) for row in rows)
    sheet = page.HtmlPage("Dry run", _summary(steps, unread))
    sheet.add(page.headline_figures([
        page.HeadlineFigure("records", len({row.id for row in steps})),
        page.HeadlineFigure("dropped", sum(bool(row.reason) for row in steps)),
        page.HeadlineFigure("could not be read", unread, note="in this sample"),
    ]))  # fmt: skip
    budget = MAX_PAGE_BYTES
    for source in dict.fromkeys(row.source for row in rows):
        source_rows = [row for row in rows if row.source == source]
        blocks = list(
            _unread_block([row for row in source_rows if row.step == READ_STEP and row.reason])
        )
        records: dict[str, list[DryRunRow]] = {}
        for row in source_rows:
            if row.step != READ_STEP:
                records.setdefault(row.id, []).append(row)
        for record_rows in records.values():
            omitted = f"{record_rows[0].path} is in dry-run.jsonl; it does not fit on the page."
            is_shown = budget > 0
            blocks.append(
                _record_block(record_rows) if is_shown else page.element("p.small", omitted)
            )
            budget -= len(blocks[-1])
        read = next(
            (row.metadata for row in source_rows if row.step == READ_STEP and not row.id), None
        )
        sheet.section(f"Source {source}", _coverage(read) if read else "", *blocks)
    write_text(out, sheet.render())
    return out


def _summary(steps: Sequence[DryRunRow], unread: int) -> str:
    records, changed = len({row.id for row in steps}), sum(map(_is_changed, steps))
    summary = (
        f"{format_count(records, 'record')} through "
        f"{format_count(len({row.step for row in steps}), 'step')}:"
        f" {sum(bool(row.reason) for row in steps):,} dropped, {changed:,} times changed"
    )
    summary += f"; {unread:,} more could not be read" * bool(unread)
    return (
        f"{summary}. This is a sample: a complete run may find further reasons, and steps that "
        "compare documents saw only these records."
    )


def _coverage(counts: dict[str, int]) -> str:
    """How much of a source the sample read."""
    return (
        f"Read {counts['parts']:,} of {format_count(counts['of'], 'file')} or parts of files: "
        f"{format_count(counts['records'], 'record')} could be read, {counts['unread']:,} could "
        f"not."
    )


def _unread_block(rows: Sequence[DryRunRow]) -> Iterator[page.Html]:
    reasons = Counter(row.reason for row in rows)
    lines = []
    for reason, count in reasons.most_common():
        examples = [row for row in rows if row.reason == reason][:MAX_EXAMPLES]
        listed = "; ".join(
            f"{row.path} ({row.metadata['details'] or 'no details'})" for row in examples
        )
        more = f"; and {count - len(examples):,} more" if count > len(examples) else ""
        lines.append(page.element("p.unread", f"{reason} · {count:,}: {listed}{more}"))
    if rows:
        skipped = sum(count for reason, count in reasons.items() if reason in NOT_DOCUMENT_REASONS)
        title = f"{len(rows) - skipped:,} could not be read"
        title += f", {format_count(skipped, 'file')} skipped that are not documents" * bool(skipped)
        yield page.details(title, *lines, is_open=True)


def _is_changed(row: DryRunRow) -> bool:
    return not row.reason and (row.before != row.after or row.made_of > 0)


def _record_block(rows: Sequence[DryRunRow]) -> page.Html:
    last = rows[-1]
    kept = f"kept, {format_count(len(last.after), 'character')}"
    outcome = f"dropped: {last.reason}" if last.reason else kept
    unchanged = [row.step for row in rows if not _is_changed(row) and not row.reason]
    changed = [_step_block(row) for row in rows if _is_changed(row) or row.reason]
    rest = (
        page.element("p.small.rest", f"Unchanged by {', '.join(unchanged)}.") if unchanged else ""
    )
    return page.details(f"{last.path} · {outcome}", *changed, rest, is_open=bool(changed))


def _step_block(row: DryRunRow) -> page.Html:
    reasons = Counter(one["reason"] for one in row.removed).items()
    why = ", ".join(f"{count} {reason}" for reason, count in reasons) or "text made"
    why = f"dropped: {row.reason}" if row.reason else why
    made = f"before: all text in {record.format_bytes(row.made_of)} of {row.kind}"
    parts = _split_segments(row)
    is_long = len(row.before) > SHOWN_CHARACTERS and any(part.reason for part in parts)
    edge = FOLD_CHARACTERS if is_long else SHOWN_CHARACTERS // 2
    if row.reason:
        details = next((one["details"] for one in row.removed if one["what"] == "record"), "")
        after = page.element("p", " · ".join(filter(None, (why, details))))
    else:
        after = page.element(
            "pre", *_render_segments([part for part in parts if part.is_after], edge)
        )
    before = page.element(
        "pre", *_render_segments([part for part in parts if part.is_before or part.reason], edge)
    )
    titles = (made if row.made_of else "before", "after")
    sides = [
        page.element("div.side", page.element("p.small", title), text)
        for title, text in zip(titles, (before, after), strict=True)
    ]
    step = page.element("p.step", f"{row.step} · {why}")
    return page.element("div", step, page.element("div.pair", *sides))


def _split_segments(row: DryRunRow) -> list[_TextSegment]:
    edits = [edit for edit in row.removed if edit["what"] != "record"]
    if not edits:
        same = not row.reason and row.before == row.after
        both = [_TextSegment(row.before, True, same), _TextSegment(row.after, False, True)]
        return both[:1] if same or row.reason else both
    position, segments = 0, []
    for edit in edits:
        if edit["start"] < position or edit["start"] > len(row.before):
            continue  # beyond the stored part of a long text
        segments.append(_TextSegment(row.before[position : edit["start"]]))
        segments.append(
            _TextSegment(row.before[edit["start"] : edit["end"]], True, False, edit["reason"])
        )
        segments.append(_TextSegment(edit["put"], False, True, edit["reason"]))
        position = edit["end"]
    return [segment for segment in (*segments, _TextSegment(row.before[position:])) if segment.text]


def _render_segments(segments: Sequence[_TextSegment], edge: int) -> Iterator[page.Html]:
    remaining = SHOWN_CHARACTERS
    for number, segment in enumerate(segments):
        if remaining <= 0:
            yield _omission(sum(len(rest.text) for rest in segments[number:]))
            return
        remaining -= min(len(segment.text), 2 * edge)
        if not segment.reason:
            yield page.join_html(_fold(segment.text, edge))
        elif segment.is_after:
            yield page.element("ins", *_fold(segment.text, edge))
        else:
            text = segment.text.rstrip()
            yield page.element("del", *_fold(text, edge))
            yield page.element("span.why", f" {segment.reason} ")
            yield page.escape(segment.text[len(text) :])


def _fold(text: str, edge: int) -> list[str]:
    if len(text) <= 3 * edge:
        return [text]
    return [text[:edge], _omission(len(text) - 2 * edge), text[-edge:]]


def _omission(count: int) -> page.Html:
    return page.element("span.gap", f" … {format_count(count, 'character')} not shown … ")
