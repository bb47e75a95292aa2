"""The funnel: the size of the complete corpus after each step, and how much of it the step read.

A step that applies to some sources or kinds counts only those, so its own numbers do not describe
the corpus; the running total is computed from what each step dropped and how it changed the text.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from groundup.core import page, record

from ..engine.job import ENGINE_STEP, READ_STEP
from ..prepare.write import HAS_TEXT, count_non_documents
from .reading import WITHDRAWN_REASON

TITLES = {
    READ_STEP: "read",
    HAS_TEXT.name: "end: is there text?",
    ENGINE_STEP: "set aside: failed, hung, same id",
}
"""Titles of the stages that are not steps of the pipeline."""
ARIA_HIDDEN = {"aria-hidden": "true"}
STYLE = """
.share{display:block;height:8px;background:var(--line);border-radius:4px;min-width:80px}
.share>i{display:block;height:8px;background:var(--accent);border-radius:4px}
@media(max-width:720px){
.funnel,.funnel tbody,.funnel caption{display:block}.funnel thead{display:none}
.funnel tr{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:4px 12px;padding:8px 0}
.funnel th,.funnel td.bar-cell{grid-column:1/-1;padding:0}
.funnel td{grid-column:span 2;padding:0;text-align:left;white-space:normal}
.funnel td.left{grid-column:span 3}
.funnel td::before{content:attr(data-label);display:block;font-size:12px;line-height:16px;
color:var(--ink-2)}.funnel .bar-cell::before{content:none}}
"""


class FunnelStage(NamedTuple):
    """A step, or a stage before or after the steps, and the size of the corpus after it."""

    name: str
    saw: int
    """Records that it processed."""
    dropped: int
    slices: int
    """Slices of text that it removed, replaced or moved to the metadata."""
    derived: int
    """Records that it derived from others."""
    documents: int
    """In the complete corpus, after it."""
    characters: int | None
    """In the complete corpus, after it; None if an older run did not count them."""
    bytes: int = 0
    """Bytes read."""


def build_funnel(counts: Mapping[str, Any]) -> tuple[FunnelStage, ...]:
    """Every stage of a run in order, with running totals of the complete corpus."""
    stages: list[FunnelStage] = []
    is_over = False
    for step in counts["steps"]:
        dropped = sum(step["taken"].get("record", {}).values())
        slices = sum(sum(n.values()) for what, n in step["taken"].items() if what != "record")
        name = step["name"]
        if name == ENGINE_STEP and not dropped:
            continue  # nothing was rejected
        if not stages:
            skipped_files = count_non_documents(counts["steps"])
            saw, dropped = (step["in"] or step["out"]) - skipped_files, dropped - skipped_files
            stages.append(
                FunnelStage(
                    name,
                    saw,
                    dropped,
                    slices,
                    0,
                    step["out"],
                    step["characters"],
                    step.get("bytes", 0),
                )
            )
            continue
        documents, characters = stages[-1].documents, stages[-1].characters
        if is_over and name != ENGINE_STEP and not name.startswith(WITHDRAWN_REASON):
            documents, derived = documents + step["out"], step["out"]
            characters = None if characters is None else characters + step["characters"]
            stages.append(FunnelStage(name, step["in"], 0, slices, derived, documents, characters))
            continue
        is_over = is_over or name == HAS_TEXT.name
        after = _characters_after(step, documents, characters)
        stages.append(FunnelStage(name, step["in"], dropped, slices, 0, documents - dropped, after))
    return tuple(stages)


def _characters_after(
    step: Mapping[str, Any], documents: int, characters: int | None
) -> int | None:
    """Characters of the complete corpus after a step that read some or all of its documents."""
    if step["in"] == documents:
        return step["characters"]
    if characters is None or "grew" not in step:
        return None
    return characters + step["grew"]


def funnel_table(stations: tuple[FunnelStage, ...]) -> page.Html:
    """One row per stage, with a bar of the documents that remain; on a narrow screen each row is a
    block."""
    labels = ("saw", "dropped", "slices changed", "documents left", "characters left")
    heads = [("th", "step"), *(("th.numeric", label) for label in labels), ("th", "")]
    top = [page.element(name, text, attributes={"scope": "col"}) for name, text in heads]
    kinds = (*["td.numeric"] * 3, *["td.numeric.left"] * 2)
    most = max((one.documents + one.dropped for one in stations), default=1)
    rows = []
    for one in stations:
        cells = [
            f"{one.saw:,}" + f" ({record.format_bytes(one.bytes)})" * bool(one.bytes),
            f"+{one.derived:,} derived" if one.derived else f"{one.dropped:,}",
            f"{one.slices:,}",
            f"{one.documents:,}",
            "not counted" if one.characters is None else f"{one.characters:,}",
        ]
        title = TITLES.get(one.name, one.name)
        rows.append(page.element(
            "tr",
            page.element("th", title, attributes={"scope": "row"}),
            *(page.element(name, cell, attributes={"data-label": label})
              for name, cell, label in zip(kinds, cells, labels, strict=True)),
            page.element("td.bar-cell", _share_bar(one.documents / max(most, 1))),
        ))  # fmt: skip
    caption = page.element("caption", "Left: in the whole corpus, after the step")
    head, body = page.element("thead", page.element("tr", *top)), page.element("tbody", *rows)
    return page.scroll_box(page.element("table.funnel", caption, head, body), "Funnel")


def _share_bar(fraction: float) -> page.Html:
    """A bar filled to a fraction."""
    width = {"style": f"width:{100 * min(max(fraction, 0), 1):.1f}%"}
    return page.element("span.share", page.element("i", attributes=width), attributes=ARIA_HIDDEN)
