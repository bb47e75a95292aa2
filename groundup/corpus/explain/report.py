"""The report of a corpus: one HTML page of what was read, what was removed and why, what remains.

It has the funnel step by step, every reason with examples, histograms of the measurements, sources
and their licences. The funnel is the size of the complete corpus after each step, and how much of
it the step read: a step that applies to some sources or kinds counts only those, so its own numbers
do not describe the corpus; the running total is computed from what each step dropped and how it
changed the text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, page, record, write_text
from groundup.documents import NOT_DOCUMENT_REASONS, Removal

from ..engine.job import ENGINE_STEP, READ_STEP
from ..prepare.write import HAS_TEXT, count_non_documents
from .reading import WITHDRAWN_REASON, format_count, read_counters, read_removals

MAX_REASON_EXAMPLES = 4
MAX_EXPANDED = 5  # Number of reasons whose examples are expanded
MAX_LICENCES = 100
EXAMPLE_CHARACTERS = 240
MOST_REASONS, MOST_HISTOGRAMS = 60, 24
STAGE_TITLES = {
    READ_STEP: "read",
    HAS_TEXT.name: "end: is there text?",
    ENGINE_STEP: "set aside: failed, hung, same id",
}
"""Titles of the stages that are not steps of the pipeline."""
REMOVAL_LABELS = {
    "record": "document dropped",
    "removed": "slice removed",
    "replaced": "slice replaced",
    "aside": "slice kept aside",
}


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
    sheet = page.HtmlPage(f"Corpus {corpus.path.name}", _lead_text(counts, result))
    sheet.add(_headline(counts, result))
    sheet.section(
        "Funnel",
        "The complete corpus after each step. A step reads what remains, or only some of its "
        "sources or kinds.", _funnel_table(result.funnel),
    )  # fmt: skip
    sheet.section(
        "Reasons",
        "Why documents, lines and slices were removed, the most frequent first, with examples.",
        *(
            page.details(
                f"{one.reason} · {one.count:,} {_removal_label(one)} · {one.step}",
                *map(_example_block, one.examples),
                is_open=number < MAX_EXPANDED,
            )
            for number, one in enumerate(result.reasons[:MOST_REASONS])
        ),
    )
    sheet.section("Measures", "Measurements of the kept documents.", _histograms(counts))
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
    splits = counts["splits"]
    reasons = [
        RemovalReason(step["name"], what, reason, count)
        for step in counts["steps"]
        for what, taken in step["taken"].items()
        for reason, count in taken.items()
    ]
    reasons.sort(key=lambda one: -one.count)
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
    return (steps[0]["in"] or steps[0]["out"]) - count_non_documents(steps) if steps else 0


def _removal_label(one: RemovalReason) -> str:
    """What a reason removed, in words.

    >>> _removal_label(RemovalReason("01 x", "record", "too short", 1))
    'document dropped'
    >>> _removal_label(RemovalReason("01 x", "aside", "note", 3))
    'slices kept aside'
    """
    name, _, verb = REMOVAL_LABELS[one.what].partition(" ")
    return f"{name}{'s' * (one.count != 1)} {verb}"


def _count_documents(splits: Iterable[Mapping[str, int]]) -> tuple[int, int]:
    rows = list(splits)
    derived = sum(one.get("derived", 0) for one in rows)
    return sum(one["documents"] for one in rows) - derived, derived


def _derived_text(derived: int) -> str:
    return f" + {derived:,} derived" * bool(derived)


def _skipped_files_text(files: int) -> str:
    return f"; {format_count(files, 'file')} that are not documents were skipped" * bool(files)


def _lead_text(counts: Mapping[str, Any], result: CorpusReport) -> str:
    size = sum(one["bytes"] for one in counts["splits"].values())
    lead = (
        f"{result.documents:,} of {format_count(result.documents_in, 'document')} are kept"
        f"{_derived_text(result.derived)}: {record.format_bytes(size)} of text from "
        f"{format_count(len(counts['sources']), 'source')}"
        f"{_skipped_files_text(result.files_skipped)}."
    )
    dropped = [
        one
        for one in result.reasons
        if one.what == "record" and one.reason not in NOT_DOCUMENT_REASONS
    ]
    if not dropped:
        return lead
    unread = sum(one.count for one in dropped if one.step == counts["steps"][0]["name"])
    by_steps = sum(one.count for one in dropped) - unread
    return (
        f"{lead} {unread:,} could not be read and {by_steps:,} were dropped; the most frequent "
        f"reason is “{dropped[0].reason}” ({dropped[0].count:,})."
    )


def _headline(counts: Mapping[str, Any], result: CorpusReport) -> page.Html:
    size = record.format_bytes(sum(one["bytes"] for one in counts["splits"].values()))
    number, unit = size.split(" ")
    slices = sum(one.count for one in result.reasons if one.what != "record")
    note = f"of {result.documents_in:,} read{_derived_text(result.derived)}"
    note += f", {result.files_skipped:,} other files skipped" * bool(result.files_skipped)
    share = 100 * result.documents / max(result.documents_in, 1)
    return page.headline_figures([
        page.HeadlineFigure("documents kept", result.documents, note=note, href="#funnel"),
        page.HeadlineFigure("share kept", share, "%"),
        page.HeadlineFigure("text", float(number.replace(",", "")), unit, note="UTF-8"),
        page.HeadlineFigure("slices changed", slices, note="lines and spans, each with its reason",
               href="#reasons"),
    ])  # fmt: skip


def build_funnel(counts: Mapping[str, Any]) -> tuple[FunnelStage, ...]:
    """Every stage of a run in order, with running totals of the complete corpus."""
    stages: list[FunnelStage] = []
    is_over = False
    for step in counts["steps"]:
        name = step["name"]
        dropped = sum(step["taken"].get("record", {}).values())
        slices = sum(sum(n.values()) for what, n in step["taken"].items() if what != "record")
        if name == ENGINE_STEP and not dropped:
            continue  # nothing was rejected
        if not stages:
            skipped, size = count_non_documents(counts["steps"]), step.get("bytes", 0)
            saw, dropped = (step["in"] or step["out"]) - skipped, dropped - skipped
            first = (name, saw, dropped, slices, 0, step["out"], step["characters"], size)
            stages.append(FunnelStage(*first))
            continue
        documents, characters = stages[-1].documents, stages[-1].characters
        if is_over and name != ENGINE_STEP and not name.startswith(WITHDRAWN_REASON):
            derived = step["out"]
            characters = None if characters is None else characters + step["characters"]
            after = (name, step["in"], 0, slices, derived, documents + derived, characters)
        else:
            is_over = is_over or name == HAS_TEXT.name
            characters = _characters_after(step, documents, characters)
            after = (name, step["in"], dropped, slices, 0, documents - dropped, characters)
        stages.append(FunnelStage(*after))
    return tuple(stages)


def _characters_after(
    step: Mapping[str, Any], documents: int, characters: int | None
) -> int | None:
    if step["in"] == documents:
        return step["characters"]
    if characters is None or "grew" not in step:
        return None
    return characters + step["grew"]


def _funnel_table(stages: Sequence[FunnelStage]) -> page.Html:
    labels = ("saw", "dropped", "slices changed", "documents left", "characters left")
    columns = ["step", *(page.TableColumn(label, True) for label in labels), ""]
    most = max((one.documents + one.dropped for one in stages), default=1)
    rows = [
        [
            STAGE_TITLES.get(one.name, one.name),
            f"{one.saw:,}" + f" ({record.format_bytes(one.bytes)})" * bool(one.bytes),
            f"+{one.derived:,} derived" if one.derived else f"{one.dropped:,}",
            f"{one.slices:,}",
            f"{one.documents:,}",
            "not counted" if one.characters is None else f"{one.characters:,}",
            page.share_bar(one.documents / max(most, 1)),
        ]
        for one in stages
    ]
    return page.table_element("Left: in the complete corpus, after the step", columns, rows)


def _add_examples(corpus: Artifact, reasons: Sequence[RemovalReason]) -> list[RemovalReason]:
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


def _example_block(one: Removal) -> page.Html:
    value = f"{one.value:.4g}" if one.value is not None else ""
    where = " · ".join(filter(None, (one.path, one.id[:12], value, one.details)))
    put = [" → ", page.element("ins", one.put)] if one.put else []
    return page.element(
        "div.took",
        page.element("div.where", where),
        page.element("div", page.element("del", one.text), *put),
    )


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXAMPLE_CHARACTERS else line[:EXAMPLE_CHARACTERS] + "…"


def _histograms(counts: Mapping[str, Any]) -> page.Html:
    rows = [(name, bins) for name, bins in counts["histograms"].items() if len(bins) > 1]
    if not rows:
        return page.element("p.empty", "No step measured the kept documents.")
    charts = (page.histogram(name, bins, "documents") for name, bins in rows[:MOST_HISTOGRAMS])
    return page.element("div.cards", *charts)


def _source_table(counts: Mapping[str, Any]) -> page.Html:
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
    for name, source in counts["sources"].items():
        splits = source["splits"].values()
        every = {unit: sum(s[unit] for s in splits) for unit in ("documents", "characters")}
        # Older runs did not count what documents state.
        stated = source.get("licences", {source["licence"]: every})
        for licence, row in sorted(stated.items(), key=lambda pair: -pair[1]["characters"]):
            if row["documents"]:
                yield SourceLicence(licence, name, row["documents"], row["characters"])


def _licence_table(rows: Sequence[SourceLicence]) -> page.Html:
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
