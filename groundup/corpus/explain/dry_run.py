"""The page of a dry run: records before and after each step, side by side, what went struck out.

A step that makes text of bytes is shown by all the text that it found, with what it then left out
struck; long stretches that stay are folded. What could not be read comes first, with its reasons.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import page, record, write_text
from groundup.documents import NO_DOCUMENTS

from ..engine.job import READ
from ..prepare.sample import Shown
from .reading import counted

SHOWN_CHARACTERS = 6_000
EDGE = 400
"""Characters of a folded stretch that are shown at either end."""
EXAMPLES = 4
MOST_BYTES = 4 * 2**20
STYLE = """
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px 16px;align-items:start}
@media(max-width:720px){.pair{grid-template-columns:minmax(0,1fr)}}
.side pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12px/16px ui-monospace,monospace;
max-height:420px;overflow:auto;margin:4px 0 0;padding:8px;background:var(--paper);border-radius:4px}
.side del{color:var(--bad);background:var(--band)} .side ins{color:var(--good);text-decoration:none}
.side .why,.side .gap{color:var(--ink-2);font-family:system-ui,sans-serif}
.step{margin:12px 0 4px;font-weight:600} .rest{margin-top:12px} .unread{overflow-wrap:anywhere}
"""


class Piece(NamedTuple):
    """A stretch of a text at a step."""

    text: str
    is_before: bool = True
    """Whether it stands in the text before the step."""
    is_after: bool = True
    reason: str = ""
    """Why it went or came; empty for what stayed."""


def dry_run_page(rows: Sequence[Shown], out: Path) -> Path:
    """Write the page of what a dry run showed; returns its path.

    A record's unchanged steps are named in a line; of a long text the beginning is shown.
    """
    steps = [row for row in rows if row.step != READ]
    unread = sum(row.step == READ and bool(row.reason) for row in rows)
    sheet = page.Page("Dry run", lead(steps, unread), style=STYLE)
    sheet.add(page.headline([
        page.Figure("records", len({row.id for row in steps})),
        page.Figure("dropped", sum(bool(row.reason) for row in steps)),
        page.Figure("could not be read", unread, note="where this sample looked"),
    ]))  # fmt: skip
    budget = MOST_BYTES
    for source in dict.fromkeys(row.source for row in rows):
        own = [row for row in rows if row.source == source]
        blocks = list(unread_block([row for row in own if row.step == READ and row.reason]))
        for one in by_record(row for row in own if row.step != READ):
            blocks.append(record_block(one) if budget > 0 else left_out(one[0]))
            budget -= len(blocks[-1])
        looked = next((row.metadata for row in own if row.step == READ and not row.id), None)
        sheet.section(f"Source {source}", looked_at(looked) if looked else "", *blocks)
    write_text(out, sheet.render())
    return out


def lead(steps: Sequence[Shown], unread: int) -> str:
    """What the sample showed, and what a sample cannot show."""
    records, changed = len({row.id for row in steps}), sum(map(is_changed, steps))
    said = (
        f"{counted(records, 'record')} through {counted(len({row.step for row in steps}), 'step')}:"
        f" {sum(bool(row.reason) for row in steps):,} dropped, {changed:,} times changed"
    )
    said += f"; {unread:,} more could not be read" * bool(unread)
    return (
        f"{said}. This is a sample: a run reads everything, so it may find reasons that are not "
        "here, and steps that compare documents saw these records alone."
    )


def looked_at(told: dict[str, int]) -> str:
    """How much of a source the sample looked at.

    >>> looked_at({"parts": 10, "of": 47, "records": 12, "unread": 1})
    'Looked at 10 of 47 files or parts of files: 12 records could be read, 1 could not.'
    """
    return (
        f"Looked at {told['parts']:,} of {counted(told['of'], 'file')} or parts of files: "
        f"{counted(told['records'], 'record')} could be read, {told['unread']:,} could not."
    )


def unread_block(rows: Sequence[Shown]) -> Iterator[page.Html]:
    """Yield what could not be read of a source by reason, with examples, if there was anything."""
    reasons = Counter(row.reason for row in rows)
    lines = []
    for reason, count in reasons.most_common():
        some = [row for row in rows if row.reason == reason][:EXAMPLES]
        told = "; ".join(f"{row.path} ({row.metadata['details'] or 'no details'})" for row in some)
        more = f"; and {count - len(some):,} more" if count > len(some) else ""
        lines.append(page.element("p.unread", f"{reason} · {count:,}: {told}{more}"))
    if rows:
        others = sum(count for reason, count in reasons.items() if reason in NO_DOCUMENTS)
        title = f"{len(rows) - others:,} could not be read"
        title += f", {counted(others, 'file')} skipped that are no documents" * bool(others)
        yield page.details(title, *lines, is_open=True)


def left_out(row: Shown) -> page.Html:
    """A line for a record that the page has no room for."""
    return page.element("p.small", f"{row.path} is in dry-run.jsonl; the page has no room for it.")


def by_record(rows: Iterable[Shown]) -> list[list[Shown]]:
    """Rows of each record together, records in the order of their first row."""
    found: dict[str, list[Shown]] = {}
    for row in rows:
        found.setdefault(row.id, []).append(row)
    return list(found.values())


def is_changed(row: Shown) -> bool:
    """Whether a step took something of a record that it kept, or made its text."""
    return not row.reason and (row.before != row.after or row.made_of > 0)


def record_block(rows: Sequence[Shown]) -> page.Html:
    """One record: what every step did to it."""
    last = rows[-1]
    kept = f"kept, {counted(len(last.after), 'character')}"
    end = f"dropped: {last.reason}" if last.reason else kept
    quiet = [row.step for row in rows if not is_changed(row) and not row.reason]
    loud = [step_block(row) for row in rows if is_changed(row) or row.reason]
    rest = page.element("p.small.rest", f"Unchanged by {', '.join(quiet)}.") if quiet else ""
    return page.details(f"{last.path} · {end}", *loud, rest, is_open=bool(loud))


def step_block(row: Shown) -> page.Html:
    """One step: the text before with what went struck out, the text after or why there is none."""
    why = f"dropped: {row.reason}" if row.reason else reasons(row)
    made = f"before: all text in {record.size(row.made_of)} of {row.kind}"
    parts = pieces(row)
    is_long = len(row.before) > SHOWN_CHARACTERS and any(part.reason for part in parts)
    edge = EDGE if is_long else SHOWN_CHARACTERS // 2
    if row.reason:
        details = next((one["details"] for one in row.removed if one["what"] == "record"), "")
        after = page.element("p", " · ".join(filter(None, (why, details))))
    else:
        after = page.element("pre", *drawn([part for part in parts if part.is_after], edge))
    before = page.element(
        "pre", *drawn([part for part in parts if part.is_before or part.reason], edge)
    )
    return page.element(
        "div",
        page.element("p.step", f"{row.step} · {why}"),
        page.element(
            "div.pair",
            page.element("div.side", page.element("p.small", made if row.made_of else "before"),
                         before),
            page.element("div.side", page.element("p.small", "after"), after),
        ),
    )  # fmt: skip


def reasons(row: Shown) -> str:
    """Reasons of what a step took, counted."""
    counts = Counter(one["reason"] for one in row.removed)
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "text made"


def pieces(row: Shown) -> list[Piece]:
    """The text of a step, cut where something went or came; whole texts where it was replaced."""
    edits = [one for one in row.removed if one["what"] != "record"]
    if not edits:
        same = not row.reason and row.before == row.after
        both = [Piece(row.before, True, same), Piece(row.after, False, True)]
        return both[:1] if same or row.reason else both
    at, found = 0, []
    for one in edits:
        if one["start"] < at or one["start"] > len(row.before):
            continue  # past what the lines hold of a long text
        found.append(Piece(row.before[at : one["start"]]))
        found.append(Piece(row.before[one["start"] : one["end"]], True, False, one["reason"]))
        found.append(Piece(one["put"], False, True, one["reason"]))
        at = one["end"]
    return [piece for piece in (*found, Piece(row.before[at:])) if piece.text]


def drawn(parts: Sequence[Piece], edge: int) -> Iterator[page.Html]:
    """Yield stretches as they are shown, up to a bound; what is left out is told."""
    room = SHOWN_CHARACTERS
    for number, piece in enumerate(parts):
        if room <= 0:
            yield gap(sum(len(one.text) for one in parts[number:]))
            return
        room -= min(len(piece.text), 2 * edge)
        if not piece.reason:
            yield page.join(folded(piece.text, edge))
        elif piece.is_after:
            yield page.element("ins", *folded(piece.text, edge))
        else:
            text = piece.text.rstrip()
            yield page.element("del", *folded(text, edge))
            yield page.element("span.why", f" {piece.reason} ")
            yield page.escape(piece.text[len(text) :])


def folded(text: str, edge: int) -> list[str]:
    """A text without its middle, if it is long."""
    if len(text) <= 3 * edge:
        return [text]
    return [text[:edge], gap(len(text) - 2 * edge), text[-edge:]]


def gap(count: int) -> page.Html:
    """The sign for characters that are not shown."""
    return page.element("span.gap", f" … {counted(count, 'character')} not shown … ")
