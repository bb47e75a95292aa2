"""The report of a corpus: one page that says what came in, what went and why, and what is left.

The funnel step by step, every reason with examples of what it took, histograms of what was
measured, sources and their licences. Opens from disk, loads nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, page, record, write_text
from groundup.documents import Removal

from .reading import counters, removals

ENGINE = "engine"
EXAMPLES = 4
EXAMPLE_CHARACTERS = 240
MOST_REASONS, MOST_HISTOGRAMS = 60, 24
STYLE = """
.share{display:block;height:8px;background:var(--line);border-radius:4px;min-width:80px}
.share>i{display:block;height:8px;background:var(--accent);border-radius:4px}
.share.lost>i{background:var(--series-2,#c2703d)}
.bins{display:flex;align-items:flex-end;gap:1px;height:96px;margin:8px 0 2px}
.bins>i{flex:1;background:var(--accent);min-height:1px;border-radius:1px 1px 0 0}
.extent{display:flex;justify-content:space-between;color:var(--ink-2);font-size:12px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:16px}
.took{margin:8px 0;padding:8px 12px;border-left:3px solid var(--line);overflow-wrap:anywhere}
.took .where{color:var(--ink-2);font-size:12px}
del{color:var(--bad)} ins{color:var(--good);text-decoration:none}
"""
TAKEN = {
    "record": "documents dropped",
    "removed": "slices removed",
    "replaced": "slices replaced",
    "aside": "slices kept aside",
}


class Reason(NamedTuple):
    """Why a step took something, and how often."""

    step: str
    what: str
    reason: str
    count: int


class Told(NamedTuple):
    """Where a report is, and its numbers."""

    page: str
    documents_in: int
    documents: int
    """Kept, without what was derived of them."""
    derived: int
    characters: int
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        """The numbers, the largest reasons, the page."""
        share = self.documents / max(self.documents_in, 1)
        lines = [f"{self.documents:,} of {self.documents_in:,} documents are kept ({share:.0%})"
                 f"{plus(self.derived)}, {self.characters:,} characters"]  # fmt: skip
        for one in self.reasons[:12]:
            lines.append(f"  {one.count:>9,}  {TAKEN[one.what]:<18} {one.reason}  ({one.step})")
        return "\n".join([*lines, f"The page: {self.page}"])


def report(corpus: Artifact, *, out: Path | None = None) -> Told:
    """Write the page of a corpus: its funnel, reasons with examples, histograms, licences.

    out  the page; by default `NAME-report.html` beside the corpus

    Raises ConfigError for an artifact that `groundup prepare` did not make.
    """
    told = counters(corpus)
    place = Path(out) if out else corpus.path.with_name(f"{corpus.path.name}-report.html")
    reasons = tuple(sorted(reasons_of(told["steps"]), key=lambda one: -one.count))
    sheet = page.Page(f"Corpus {corpus.path.name}", lead(told, reasons), style=STYLE)
    sheet.add(headline(told))
    sheet.section("Funnel", "What each step saw, dropped and left.", funnel(told["steps"]))
    found = examples(corpus, reasons[:MOST_REASONS])
    sheet.section(
        "Reasons", "Why documents, lines and slices went, the most frequent first, with examples.",
        *[reason_card(one, found[one]) for one in reasons[:MOST_REASONS]],
    )  # fmt: skip
    sheet.section("Measures", "What steps measured, over the documents kept.", *measures(told))
    sheet.section("Sources", "Where the text came from and under which licence.", sources(told))
    sheet.section(
        "Next", "",
        page.command(f"groundup corpus why {corpus.path} ID", "what became of one document"),
        page.command(f"groundup corpus diff {corpus.path} OTHER", "against another run"),
        page.command(f"groundup tokens --corpus {corpus.path} --tokenizer DIR --out tokens"),
    )  # fmt: skip
    write_text(place, sheet.render())
    record.say(f"The report is {place}")
    first, splits = told["steps"][0], told["splits"].values()
    return Told(
        str(place), first["in"] or first["out"], *documents_of(splits),
        sum(one["characters"] for one in splits), reasons,
    )  # fmt: skip


class Documents(NamedTuple):
    """How many documents some splits have."""

    own: int
    derived: int


def documents_of(splits: Iterable[Mapping[str, int]]) -> Documents:
    """Documents of splits, those that were derived of others counted apart."""
    rows = list(splits)
    derived = sum(one.get("derived", 0) for one in rows)
    return Documents(sum(one["documents"] for one in rows) - derived, derived)


def plus(derived: int) -> str:
    """How what was derived is told; nothing if nothing was.

    >>> plus(1200), plus(0)
    (' + 1,200 derived', '')
    """
    return f" + {derived:,} derived" * bool(derived)


def reasons_of(steps: Sequence[Mapping[str, Any]]) -> Iterator[Reason]:
    """Yield every reason of every step."""
    for step in steps:
        for what, counts in step["taken"].items():
            for reason, count in counts.items():
                yield Reason(step["name"], what, reason, count)


def lead(told: Mapping[str, Any], reasons: Sequence[Reason]) -> str:
    """One sentence: how much is left, of what, and what took most."""
    documents, derived = documents_of(told["splits"].values())
    size = sum(one["bytes"] for one in told["splits"].values())
    first = told["steps"][0]
    came, count = first["in"] or first["out"], len(told["sources"])
    said = f"{documents:,} of {came:,} documents are kept{plus(derived)}: "
    said += f"{record.size(size)} of text"
    said += f" from {count} source{'s' * (count != 1)}"
    dropped = [one for one in reasons if one.what == "record"]
    if dropped:
        most = dropped[0]
        said += f"; most went as “{most.reason}” ({most.count / max(came, 1):.1%})"
    return f"{said}."


def headline(told: Mapping[str, Any]) -> page.Html:
    """The numbers that answer: how much is there?"""
    first, last = told["steps"][0], told["splits"].values()
    came = first["in"] or first["out"]
    documents, derived = documents_of(last)
    size = sum(one["bytes"] for one in last)
    slices = sum(
        count
        for step in told["steps"]
        for what, counts in step["taken"].items()
        if what != "record"
        for count in counts.values()
    )
    note = f"of {came:,} read{plus(derived)}"
    return page.headline([
        page.Figure("documents kept", documents, note=note, href="#funnel"),
        page.Figure("share kept", 100 * documents / max(came, 1), "%"),
        page.Figure("text", *scaled(size), note="UTF-8"),
        page.Figure("slices changed", slices, note="lines and spans, each with its reason",
               href="#reasons"),
    ])  # fmt: skip


def scaled(size: int) -> tuple[float, str]:
    """A number of bytes in its fitting unit."""
    number, unit = record.size(size).split(" ")
    return float(number.replace(",", "")), unit


def share(part: float, name: str = "share") -> page.Html:
    """A bar that is filled to a part of it."""
    width = {"style": f"width:{100 * min(max(part, 0), 1):.1f}%"}
    return page.element(f"span.{name}", page.element("i", attributes=width), attributes=HIDDEN)


HIDDEN = {"aria-hidden": "true"}


def funnel(steps: Sequence[Mapping[str, Any]]) -> page.Html:
    """A row a step, with a bar of how many documents are left of the first."""
    most = max((step["in"] or step["out"] for step in steps), default=1)
    columns = ["step", *(page.Column(n, True) for n in ("in", "dropped", "left", "characters"))]
    rows = []
    for step in steps:
        dropped = sum(step["taken"].get("record", {}).values())
        if step["name"] == ENGINE and not dropped:
            continue  # the engine sets aside what fails; it is no step of the pipeline
        other = sum(sum(n.values()) for what, n in step["taken"].items() if what != "record")
        rows.append([
            step["name"], f"{step['in']:,}", f"{dropped:,}", f"{step['out']:,}",
            amount(step), f"{other:,}", share(step["out"] / max(most, 1)),
        ])  # fmt: skip
    return page.table(
        "Documents through the steps", [*columns, page.Column("slices", True), ""], rows
    )


def amount(step: Mapping[str, Any]) -> str:
    """Characters that a step left; of reading the bytes, since text may be made of them later."""
    return record.size(step["bytes"]) if "bytes" in step else f"{step['characters']:,}"


def examples(corpus: Artifact, wanted: Sequence[Reason]) -> dict[Reason, list[Removal]]:
    """The first removals of each reason."""
    keys = {(one.step, one.what, one.reason): one for one in wanted}
    found: dict[Reason, list[Removal]] = defaultdict(list)
    missing = {key: min(EXAMPLES, one.count) for key, one in keys.items()}
    for removal in removals(corpus):
        key = (removal.step, removal.what, removal.reason)
        if missing.get(key, 0) > 0:
            found[keys[key]].append(removal)
            missing[key] -= 1
            if not any(missing.values()):
                break
    return found


def reason_card(one: Reason, taken: Sequence[Removal]) -> page.Html:
    """A reason that opens to what it took."""
    title = f"{one.reason} · {one.count:,} {TAKEN[one.what]} · {one.step}"
    return page.details(title, *map(example, taken))


def example(one: Removal) -> page.Html:
    """One removal: where, the number that decided, what went and what came."""
    decided = " · ".join(
        part for part in (f"{one.value:.4g}" if one.value is not None else "", one.details) if part
    )
    where = f"{one.path} · {one.id[:12]}" + (f" · {decided}" if decided else "")
    put = [" → ", page.element("ins", clipped(one.put))] if one.put else []
    return page.element(
        "div.took",
        page.element("div.where", where),
        page.element("div", page.element("del", clipped(one.text)), *put),
    )


def clipped(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXAMPLE_CHARACTERS else line[:EXAMPLE_CHARACTERS] + "…"


def measures(told: Mapping[str, Any]) -> list[page.Html]:
    """A histogram for each number that steps wrote down."""
    rows = [(name, bins) for name, bins in told["histograms"].items() if len(bins) > 1][
        :MOST_HISTOGRAMS
    ]
    if not rows:
        return [page.element("p.empty", "No step measured anything of the documents kept.")]
    return [page.element("div.grid", *[histogram(name, bins) for name, bins in rows])]


def histogram(name: str, bins: Sequence[Sequence[float]]) -> page.Html:
    """Counts by bin as bars; a bin begins at its number."""
    most = max(count for _, count in bins)
    total = sum(count for _, count in bins)
    bars = [
        page.element("i", attributes={"style": f"height:{100 * count / most:.1f}%",
                                 "title": f"from {start:g}: {count:,.0f}"})
        for start, count in bins
    ]  # fmt: skip
    peak = max(bins, key=lambda pair: pair[1])
    spoken = f"{name}: {total:,.0f} documents, most from {peak[0]:g} ({peak[1]:,.0f})."
    return page.card(
        page.element("p.label", name),
        page.element("div.bins", *bars, attributes=HIDDEN),
        page.element(
            "div.extent",
            page.element("span", f"{bins[0][0]:g}"),
            page.element("span", f"{bins[-1][0]:g}"),
        ),
        page.spoken(spoken),
    )


def sources(told: Mapping[str, Any]) -> page.Html:
    """Documents and text by source and split."""
    columns = [
        page.Column(name, True)
        for name in ("read", "kept", "derived", "train", "validation", "test", "MB")
    ]
    rows = []
    for name, source in told["sources"].items():
        split = source["splits"]
        read = source["steps"][0] if source["steps"] else {"in": 0, "out": 0}
        rows.append([
            name, source["licence"] or "not stated", source["reader"],
            f"{read['in'] or read['out']:,}", *(f"{n:,}" for n in documents_of(split.values())),
            *(f"{split[s]['documents']:,}" for s in ("train", "validation", "test")),
            f"{sum(s['bytes'] for s in split.values()) / 1e6:,.1f}",
        ])  # fmt: skip
    return page.table("Sources", ["source", "licence", "reader", *columns], rows)
