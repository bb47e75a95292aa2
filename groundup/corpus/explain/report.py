"""The report of a corpus: one HTML page of what was read, what was removed and why, what remains.

It has the funnel step by step, every reason with examples, histograms of the measurements, sources
and their licences. It opens from disk and loads nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, page, record, write_text
from groundup.documents import NOT_DOCUMENT_REASONS, Removal

from ..prepare.write import count_non_documents
from .funnel import ARIA_HIDDEN, FunnelStage, build_funnel, funnel_table
from .funnel import STYLE as FUNNEL_STYLE
from .reading import format_count, read_counters, read_removals

MAX_REASON_EXAMPLES = 4
MAX_EXPANDED = 5
"""Number of reasons whose examples are expanded."""
MAX_LICENCES = 100
EXAMPLE_CHARACTERS = 240
MOST_REASONS, MOST_HISTOGRAMS = 60, 24
STYLE = """
.bins{display:flex;align-items:flex-end;gap:1px;height:96px;margin:8px 0 2px}
.bins>i{flex:1;background:var(--accent);min-height:1px;border-radius:1px 1px 0 0}
.extent{display:flex;justify-content:space-between;color:var(--ink-2);font-size:12px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:16px}
.took{margin:8px 0;padding:8px 12px;border-left:3px solid var(--line);overflow-wrap:anywhere}
.took .where{color:var(--ink-2);font-size:12px}
del{color:var(--bad)} ins{color:var(--good);text-decoration:none}
"""
REMOVAL_LABELS = {
    "record": "document dropped",
    "removed": "slice removed",
    "replaced": "slice replaced",
    "aside": "slice kept aside",
}


class RemovalReason(NamedTuple):
    """Why a step removed something, how often, and examples."""

    step: str
    what: str
    reason: str
    count: int
    examples: tuple[Removal, ...] = ()
    """The first few, shortened; only for the most frequent reasons."""


class SourceLicence(NamedTuple):
    """A licence that a source's documents state, and how much text is under it."""

    licence: str
    """Empty if not stated."""
    source: str
    documents: int
    characters: int


class CorpusReport(NamedTuple):
    """A report: the path of its page and its content."""

    page: str
    documents_in: int
    """Documents given to the run, readable or not; without skipped files."""
    documents: int
    """Documents kept, without derived ones."""
    derived: int
    characters: int
    reasons: tuple[RemovalReason, ...]
    funnel: tuple[FunnelStage, ...]
    splits: Mapping[str, Mapping[str, int]]
    histograms: Mapping[str, Sequence[Sequence[float]]]
    """By measurement: starts of bins, and counts."""
    sources: Mapping[str, Mapping[str, Any]]
    """By name: reader, default licence, documents read, splits."""
    licences: tuple[SourceLicence, ...]
    files_skipped: int = 0
    """Pictures, links and other files that are not documents."""

    def __str__(self) -> str:
        """The numbers, the most frequent reasons, the path of the page."""
        share = self.documents / max(self.documents_in, 1)
        lines = [f"{self.documents:,} of {format_count(self.documents_in, 'document')} are kept "
                 f"({share:.0%}){_derived_text(self.derived)}, {self.characters:,} characters"
                 f"{_skipped_files_text(self.files_skipped)}"]  # fmt: skip
        for one in self.reasons[:12]:
            lines.append(f"  {one.count:>9,}  {_removal_label(one):<18} {one.reason}  ({one.step})")
        return "\n".join([*lines, f"The page: {self.page}"])


def report(corpus: Artifact, *, out: Path | None = None) -> CorpusReport:
    """Write the page of a corpus: its funnel, reasons with examples, histograms, licences.

    out  path of the page; by default `NAME-report.html` next to the corpus

    Raises ConfigError for an artifact that `groundup prepare` did not create.
    """
    counts = read_counters(corpus)
    path = Path(out) if out else corpus.path.with_name(f"{corpus.path.name}-report.html")
    result = _collect(corpus, counts, str(path))
    sheet = page.HtmlPage(f"Corpus {corpus.path.name}", _lead_text(counts, result.reasons),
                      style=FUNNEL_STYLE + STYLE)  # fmt: skip
    sheet.add(_headline(counts))
    sheet.section(
        "Funnel",
        "The complete corpus after each step. A step reads what remains, or only some of its "
        "sources or kinds.", funnel_table(result.funnel),
    )  # fmt: skip
    cards = [
        _reason_card(one, number < MAX_EXPANDED)
        for number, one in enumerate(result.reasons[:MOST_REASONS])
    ]
    sheet.section(
        "Reasons",
        "Why documents, lines and slices were removed, the most frequent first, with examples.",
        *cards,
    )  # fmt: skip
    sheet.section("Measures", "Measurements of the kept documents.", *_histograms(counts))
    sheet.section("Sources", "Where the text is from.", _source_table(counts))
    sheet.section(
        "Licences",
        "What each document states, or else its source's `licence`.",
        _licence_table(result.licences),
    )  # fmt: skip
    sheet.section(
        "Next", "",
        page.command_box(f"groundup corpus why {corpus.path} ID", "what became of one document"),
        page.command_box(f"groundup corpus diff {corpus.path} OTHER", "against another run"),
        page.command_box(f"groundup tokens --corpus {corpus.path} --tokenizer DIR --out tokens"),
    )  # fmt: skip
    write_text(path, sheet.render())
    record.log(f"The report is {path}")
    return result


def _collect(corpus: Artifact, counts: Mapping[str, Any], place: str) -> CorpusReport:
    """Collect the content of the page."""
    splits = counts["splits"]
    reasons = sorted(_all_reasons(counts["steps"]), key=lambda one: -one.count)
    reasons[:MOST_REASONS] = _add_examples(corpus, reasons[:MOST_REASONS])
    by_source = {
        name: {
            "reader": source["reader"],
            "licence": source["licence"],
            "read": _documents_read(source["steps"]),
            "splits": source["splits"],
        }
        for name, source in counts["sources"].items()
    }
    return CorpusReport(
        place,
        _documents_read(counts["steps"]),
        *_count_documents(splits.values()),
        sum(one["characters"] for one in splits.values()),
        tuple(reasons),
        build_funnel(counts),
        splits,
        counts["histograms"],
        by_source,
        tuple(_source_licences(counts)),
        count_non_documents(counts["steps"]),
    )


def _documents_read(steps: Sequence[Mapping[str, Any]]) -> int:
    """Documents given to a run, readable or not."""
    return (steps[0]["in"] or steps[0]["out"]) - count_non_documents(steps) if steps else 0


def _skipped_files_text(files: int) -> str:
    """Format the number of skipped files; empty if there were none.

    >>> _skipped_files_text(276), _skipped_files_text(0)
    ('; 276 files that are not documents were skipped', '')
    """
    return f"; {format_count(files, 'file')} that are not documents were skipped" * bool(files)


def _removal_label(one: RemovalReason) -> str:
    """What a reason removed, in words.

    >>> _removal_label(RemovalReason("01 x", "record", "too short", 1))
    'document dropped'
    >>> _removal_label(RemovalReason("01 x", "aside", "note", 3))
    'slices kept aside'
    """
    name, _, verb = REMOVAL_LABELS[one.what].partition(" ")
    return f"{name}{'s' * (one.count != 1)} {verb}"


class DocumentCounts(NamedTuple):
    """Numbers of documents in some splits."""

    own: int
    derived: int


def _count_documents(splits: Iterable[Mapping[str, int]]) -> DocumentCounts:
    """Count the documents of splits, derived ones separately."""
    rows = list(splits)
    derived = sum(one.get("derived", 0) for one in rows)
    return DocumentCounts(sum(one["documents"] for one in rows) - derived, derived)


def _derived_text(derived: int) -> str:
    """Format the number of derived documents; empty if there were none.

    >>> _derived_text(1200), _derived_text(0)
    (' + 1,200 derived', '')
    """
    return f" + {derived:,} derived" * bool(derived)


def _all_reasons(steps: Sequence[Mapping[str, Any]]) -> Iterator[RemovalReason]:
    """Yield every reason of every step."""
    for step in steps:
        for what, counts in step["taken"].items():
            for reason, count in counts.items():
                yield RemovalReason(step["name"], what, reason, count)


def _lead_text(counts: Mapping[str, Any], reasons: Sequence[RemovalReason]) -> str:
    """Two sentences: how much remains; what was unreadable, and the most frequent reason."""
    documents, derived = _count_documents(counts["splits"].values())
    size = sum(one["bytes"] for one in counts["splits"].values())
    read = _documents_read(counts["steps"])
    sentences = (
        f"{documents:,} of {format_count(read, 'document')} are kept{_derived_text(derived)}: "
    )
    sentences += (
        f"{record.format_bytes(size)} of text from {format_count(len(counts['sources']), 'source')}"
    )
    sentences += f"{_skipped_files_text(count_non_documents(counts['steps']))}."
    dropped = [
        one for one in reasons if one.what == "record" and one.reason not in NOT_DOCUMENT_REASONS
    ]
    unread = sum(one.count for one in dropped if one.step == counts["steps"][0]["name"])
    by_steps = sum(one.count for one in dropped) - unread
    if dropped:
        most = dropped[0]
        sentences += (
            f" {unread:,} could not be read and {by_steps:,} were dropped; the most frequent "
        )
        sentences += f"reason is “{most.reason}” ({most.count:,})."
    return sentences


def _headline(counts: Mapping[str, Any]) -> page.Html:
    """The main numbers."""
    read, splits = _documents_read(counts["steps"]), counts["splits"].values()
    documents, derived = _count_documents(splits)
    size = sum(one["bytes"] for one in splits)
    slices = sum(
        count
        for step in counts["steps"]
        for what, reasons in step["taken"].items()
        if what != "record"
        for count in reasons.values()
    )
    files = count_non_documents(counts["steps"])
    note = f"of {read:,} read{_derived_text(derived)}" + f", {files:,} other files skipped" * bool(
        files
    )
    return page.headline_figures([
        page.HeadlineFigure("documents kept", documents, note=note, href="#funnel"),
        page.HeadlineFigure("share kept", 100 * documents / max(read, 1), "%"),
        page.HeadlineFigure("text", *_scaled_bytes(size), note="UTF-8"),
        page.HeadlineFigure("slices changed", slices, note="lines and spans, each with its reason",
               href="#reasons"),
    ])  # fmt: skip


def _scaled_bytes(size: int) -> tuple[float, str]:
    """A number of bytes in a suitable unit."""
    number, unit = record.format_bytes(size).split(" ")
    return float(number.replace(",", "")), unit


def _add_examples(corpus: Artifact, reasons: Sequence[RemovalReason]) -> list[RemovalReason]:
    """Add the first removals of each reason, from as many different documents as possible."""
    first_of_documents: dict[tuple[str, str, str], list[Removal]] = {one[:3]: [] for one in reasons}
    others: dict[tuple[str, str, str], list[Removal]] = {one[:3]: [] for one in reasons}
    missing = {one[:3]: min(MAX_REASON_EXAMPLES, one.count) for one in reasons}
    for removal in read_removals(corpus):
        key = (removal.step, removal.what, removal.reason)
        if missing.get(key, 0) > 0:
            is_new = all(one.id != removal.id for one in first_of_documents[key])
            if is_new or len(others[key]) < MAX_REASON_EXAMPLES:
                short = removal._replace(text=_clip(removal.text), put=_clip(removal.put))
                (first_of_documents if is_new else others)[key].append(short)
            missing[key] -= is_new
            if not any(missing.values()):
                break
    examples = {
        key: tuple((rows + others[key])[:MAX_REASON_EXAMPLES])
        for key, rows in first_of_documents.items()
    }
    return [one._replace(examples=examples[one[:3]]) for one in reasons]


def _reason_card(one: RemovalReason, is_open: bool) -> page.Html:
    """A reason that expands to its examples."""
    title = f"{one.reason} · {one.count:,} {_removal_label(one)} · {one.step}"
    return page.details(title, *map(_example_block, one.examples), is_open=is_open)


def _example_block(one: Removal) -> page.Html:
    """One removal: where, the number that decided, the old and the new text."""
    decided = " · ".join(
        part for part in (f"{one.value:.4g}" if one.value is not None else "", one.details) if part
    )
    where = f"{one.path} · {one.id[:12]}" + (f" · {decided}" if decided else "")
    put = [" → ", page.element("ins", one.put)] if one.put else []
    return page.element(
        "div.took",
        page.element("div.where", where),
        page.element("div", page.element("del", one.text), *put),
    )


def _clip(text: str) -> str:
    """The start of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXAMPLE_CHARACTERS else line[:EXAMPLE_CHARACTERS] + "…"


def _histograms(counts: Mapping[str, Any]) -> list[page.Html]:
    """A histogram of each measurement."""
    rows = [(name, bins) for name, bins in counts["histograms"].items() if len(bins) > 1][
        :MOST_HISTOGRAMS
    ]
    if not rows:
        return [page.element("p.empty", "No step measured the kept documents.")]
    return [page.element("div.grid", *[_histogram(name, bins) for name, bins in rows])]


def _histogram(name: str, bins: Sequence[Sequence[float]]) -> page.Html:
    """Counts per bin as bars; a bin starts at its number."""
    most = max(count for _, count in bins)
    total = sum(count for _, count in bins)
    bars = [
        page.element("i", attributes={"style": f"height:{100 * count / most:.1f}%",
                                 "title": f"from {start:g}: {count:,.0f}"})
        for start, count in bins
    ]  # fmt: skip
    peak = max(bins, key=lambda pair: pair[1])
    spoken = f"{name}: {total:,.0f} documents, most from {peak[0]:g} ({peak[1]:,.0f})."
    return page.card_element(
        page.element("p.label", name),
        page.element("div.bins", *bars, attributes=ARIA_HIDDEN),
        page.element(
            "div.extent",
            page.element("span", f"{bins[0][0]:g}"),
            page.element("span", f"{bins[-1][0]:g}"),
        ),
        page.screen_reader_text(spoken),
    )


def _source_table(counts: Mapping[str, Any]) -> page.Html:
    """Documents and text by source and split."""
    columns = [
        page.TableColumn(name, True)
        for name in ("read", "kept", "derived", "train", "validation", "test", "text")
    ]
    rows = []
    for name, source in counts["sources"].items():
        split = source["splits"]
        rows.append([
            name, source["reader"], f"{_documents_read(source['steps']):,}",
            *(f"{n:,}" for n in _count_documents(split.values())),
            *(f"{split[s]['documents']:,}" for s in ("train", "validation", "test")),
            record.format_bytes(sum(s["bytes"] for s in split.values())),
        ])  # fmt: skip
    return page.table_element("Sources", ["source", "reader", *columns], rows)


def _source_licences(counts: Mapping[str, Any]) -> Iterator[SourceLicence]:
    """Yield the licences of each source's documents, by decreasing amount of text."""
    for name, source in counts["sources"].items():
        splits = source["splits"].values()
        every = {unit: sum(s[unit] for s in splits) for unit in ("documents", "characters")}
        # Older runs did not count what documents state.
        stated = source.get("licences", {source["licence"]: every})
        for licence, row in sorted(stated.items(), key=lambda pair: -pair[1]["characters"]):
            if row["documents"]:
                yield SourceLicence(licence, name, row["documents"], row["characters"])


def _licence_table(rows: Sequence[SourceLicence]) -> page.Html:
    """Licences by document and by text."""
    total = sum(one.characters for one in rows)
    numbers = [
        page.TableColumn(name, True) for name in ("documents", "characters", "share of text")
    ]
    cells = [
        [one.licence or "not stated", one.source, f"{one.documents:,}", f"{one.characters:,}",
         f"{one.characters / max(total, 1):.1%}"]
        for one in rows[:MAX_LICENCES]
    ]  # fmt: skip
    return page.table_element(
        "Licences of the documents kept", ["licence", "source", *numbers], cells
    )
