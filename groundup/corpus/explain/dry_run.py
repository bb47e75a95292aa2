"""The page of a dry run: records before and after each step, side by side, what went struck out."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from groundup.core import page, write_text

from ..prepare.sample import Shown

SHOWN_CHARACTERS = 6_000
MOST_BYTES = 4 * 2**20
STYLE = """
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px}
@media(max-width:720px){.pair{grid-template-columns:1fr}}
.pair pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12px/16px ui-monospace,monospace;
max-height:420px;overflow:auto;margin:0;padding:8px;background:var(--paper);border-radius:4px}
.pair del{color:var(--bad);background:var(--band)} .pair ins{color:var(--good);text-decoration:none}
.step{margin:12px 0 4px;font-weight:600}
"""


def dry_run_page(rows: Sequence[Shown], out: Path) -> Path:
    """Write the page of what a dry run showed; returns its path.

    A record's unchanged steps are named in a line; of a long text the beginning is shown.
    """
    dropped = sum(bool(row.reason) for row in rows)
    changed = sum(is_changed(row) for row in rows)
    records = list(dict.fromkeys(row.id for row in rows))
    sheet = page.Page(
        "Dry run",
        f"{len(records):,} records through {len({row.step for row in rows})} steps: {dropped:,} "
        f"dropped, {changed:,} times changed. Surveys saw this sample alone.",
        style=STYLE,
    )
    sheet.add(
        page.headline([page.Figure("records", len(records)), page.Figure("dropped", dropped)])
    )
    budget = MOST_BYTES
    by_source = sorted(rows, key=lambda row: row.source)  # stable: steps stay in order
    for source, inner in groupby(by_source, key=lambda row: row.source):
        blocks = []
        for own in by_record(inner):
            blocks.append(record_block(own) if budget > 0 else left_out(own[0]))
            budget -= len(blocks[-1])
        sheet.section(f"Source {source}", "", *blocks)
    write_text(out, sheet.render())
    return out


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
    return not row.reason and row.before != row.after


def record_block(rows: Sequence[Shown]) -> page.Html:
    """One record: what every step did to it."""
    last = rows[-1]
    end = f"dropped: {last.reason}" if last.reason else f"kept, {len(last.after):,} characters"
    quiet = [row.step for row in rows if not is_changed(row) and not row.reason]
    loud = [step_block(row) for row in rows if is_changed(row) or row.reason]
    rest = page.element("p.small", f"Unchanged by {', '.join(quiet)}.") if quiet else ""
    return page.details(f"{last.path} · {end}", *loud, rest, is_open=bool(loud))


def step_block(row: Shown) -> page.Html:
    """One step: the text before with what went struck out, the text after."""
    why = f" · dropped: {row.reason}" if row.reason else f" · {reasons(row)}"
    after = (
        page.element("pre", row.after[:SHOWN_CHARACTERS])
        if not row.reason
        else page.element("p", "—")
    )
    return page.element(
        "div",
        page.element("p.step", f"{row.step}{why}"),
        page.element("div.pair", page.element("pre", struck(row)), after),
    )


def reasons(row: Shown) -> str:
    """Reasons of what a step took, counted."""
    counts: dict[str, int] = {}
    for one in row.removed:
        counts[one["reason"]] = counts.get(one["reason"], 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "text made"


def struck(row: Shown) -> page.Html:
    """The text before a step with removed slices struck out and what was put in marked."""
    text, at, shown = row.before[:SHOWN_CHARACTERS], 0, []
    for one in row.removed:
        if one["what"] == "record" or one["start"] >= len(text) or one["start"] < at:
            continue
        if not row.before:
            break
        shown += [text[at : one["start"]], page.element("del", text[one["start"] : one["end"]])]
        shown += [page.element("ins", one["put"])] if one["put"] else []
        at = one["end"]
    return page.join([*shown, text[at:]])
