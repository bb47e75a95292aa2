"""Writing the files of a corpus, as `prepare` and `corpus` both do, from the engine's output.

    train/ validation/ test/   Parquet shards of records (documents.schema), in the sources' order
    removed/                   removals and reasons (documents.removal_schema): PHASE-SHARD.parquet
    counters.json              funnel by step and source, reasons, splits, histograms, licences

Files are linked, not copied, from the engine's folder. A document's split depends only on its
source and path. Histograms have fixed bins, so counts of shards can be added.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from groundup.core import Config, DataError, Draft, write_json
from groundup.documents import (
    NOT_DOCUMENT_REASONS,
    PASS,
    UNREAD_LICENCE_KEYS,
    Record,
    StepResult,
    printable_path,
)

from ..engine.job import ENGINE_STEP, LICENCE_KEYS, READ_STEP
from ..engine.run import RunResult
from ..engine.shards import REMOVED_STREAM, link_file, shard_path
from ..engine.specs import StepSpec, instantiate
from ..split import COUNTERS_FILE, SPLITS, Split, hash_fraction
from .pipeline import CorpusPipeline, PipelineSource, step_specs

UNIT_BINS = 20
"""Bins between 0 and 1; beyond, bins start at 1, 2 and 5 times powers of ten."""
MAX_HISTOGRAMS = 200
"""Maximum number of histograms, the most frequent ones: sources may have any metadata."""
MAX_LICENCES, MAX_LICENCE_CHARACTERS = 200, 100
"""Maximum number and length of licences, the most frequent ones: sources may state any text."""
NUMBER_NAME = re.compile(r"[\w .-]{1,64}\Z")


class SplitSinkConfig(Config):
    """How records are split."""

    seed: int = 0
    """Seed of the split."""
    validation_share: float = 0.05
    """Share of documents for validation."""
    test_share: float = 0.05
    """Share of documents for the test."""
    whole_files: tuple[str, ...] = ()
    """Sources whose files are not divided among splits."""
    explicit_splits: dict[str, Split] = {}
    """Explicit splits by `split_key`, so that a small collection has a document in each."""
    derive: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = ()
    """Derivers of further training records, as fields of `StepSpec`."""


class SplitSink:
    """The sink of the last phase: records go to their splits, derived ones to train."""

    def __init__(self, config: SplitSinkConfig) -> None:
        self.config = config
        self.derive = [
            (use, instantiate(use)) for use in (StepSpec(*fields) for fields in config.derive)
        ]

    def __call__(self, record: Record, counters: Counter[str]) -> Iterator[tuple[str, Record]]:
        """The record with its split and, for train, the records derived from it."""
        split, rows = self.split_of(record), [record]
        if split == "train":
            for use, derive in self.derive:
                if use.applies_to(record):
                    rows += _derive_records(use.name, derive, record, counters)
        for row in rows:
            size = len(row.text), len(row.text.encode("utf-8", "replace"))
            count_document(split, size, row.metadata, counters, is_derived=row is not record)
            yield split, row

    def split_of(self, record: Record) -> Split:
        """The split of a record."""
        return self.split(split_key(record.source, record.path, self.config.whole_files))

    def split(self, name: str) -> Split:
        """The split of a document, by its `split_key`."""
        if name in self.config.explicit_splits:
            return self.config.explicit_splits[name]
        number = hash_fraction(name, self.config.seed)
        if number < self.config.test_share:
            return "test"
        is_validation = number < self.config.test_share + self.config.validation_share
        return "validation" if is_validation else "train"


def _derive_records(name: str, derive: Any, record: Record, counters: Counter[str]) -> list[Record]:
    """Derive records from one; a failure loses only the derived ones."""
    counters[f"{name}|in"] += 1
    try:
        rows = list(derive(record))
    except Exception as error:  # the record itself must be kept
        counters[f"{name}|record|failed: {type(error).__name__}"] += 1
        return []
    counters[f"{name}|out"] += len(rows)
    counters[f"{name}|characters"] += sum(len(row.text) for row in rows)
    return rows


def split_key(source: str, path: str, whole_files: Sequence[str]) -> str:
    """The key that determines a record's split: source and path of the record or of its file."""
    return f"{source}/{path.partition('#')[0] if source in whole_files else path}"


def count_document(
    split: str,
    size: tuple[int, int],
    metadata: Mapping[str, Any],
    counters: Counter[str],
    *,
    is_derived: bool,
) -> None:
    """Count a document of a split: its size (characters and bytes), licence and numbers."""
    counters[f"split|{split}|documents"] += 1
    if is_derived:
        counters[f"split|{split}|derived"] += 1
    counters[f"split|{split}|characters"] += size[0]
    counters[f"split|{split}|bytes"] += size[1]
    _count_licence(metadata, size[0], counters)
    _count_numbers(metadata, counters)


def _count_licence(metadata: Mapping[str, Any], characters: int, counters: Counter[str]) -> None:
    """Count a record and its characters under its licence; under "" if it states none."""
    stated = next((metadata[name] for name in LICENCE_KEYS if metadata.get(name)), "")
    every = stated if isinstance(stated, list) else [stated]
    name = printable_path(", ".join(map(str, every)))[:MAX_LICENCE_CHARACTERS].replace("|", "/")
    counters[f"licence|documents|{name}"] += 1
    counters[f"licence|characters|{name}"] += characters
    for key in metadata.get(UNREAD_LICENCE_KEYS, ()):
        counters[f"unread licence|{printable_path(key)}"] += 1


def _count_numbers(metadata: Mapping[str, Any], counters: Counter[str]) -> None:
    """Count each number of the metadata in its bin; nested ones as `outer.inner`."""
    for name, value in metadata.items():
        inner = value.items() if isinstance(value, dict) else ()
        for key, number in ((name, value), *((f"{name}.{k}", v) for k, v in inner)):
            if isinstance(number, int | float) and not isinstance(number, bool):
                if NUMBER_NAME.match(key):
                    counters[f"number|{key}|{_bin_start(number):g}"] += 1


def _bin_start(number: float) -> float:
    """Start of a number's bin.

    >>> [_bin_start(number) for number in (0.07, 1, 37, -37, 0)]
    [0.05, 1.0, 20.0, -50.0, 0.0]
    """
    if 0 <= number < 1:
        return math.floor(number * UNIT_BINS) / UNIT_BINS
    size = abs(number)
    if not 1e-9 <= size <= 1e300:
        return math.copysign(1e300, number) if size > 1 else 0.0
    power = 10.0 ** math.floor(math.log10(size))
    starts = [factor * power for factor in (1, 2, 5, 10)]
    if number > 0:
        return max(start for start in starts if start <= size) if size >= starts[0] else starts[0]
    return -min((start for start in starts if start >= size), default=starts[-1])


class HasText:
    """The last step of every pipeline: drops records without text."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Drop a record of white space, or of bytes from which no step extracted text."""
        if record.text.strip():
            return PASS
        return StepResult("no step made text of it" if record.data else "no text")


HAS_TEXT = StepSpec("99 text", f"{__name__}:HasText")


def split_sink(pipeline: CorpusPipeline, explicit_splits: Mapping[str, Split] = {}) -> StepSpec:
    """The sink of a pipeline."""
    config = SplitSinkConfig(
        seed=pipeline.seed,
        validation_share=pipeline.split.validation_share,
        test_share=pipeline.split.test_share,
        whole_files=tuple(s.name for s in pipeline.sources if s.whole_files),
        explicit_splits=dict(explicit_splits),
        derive=tuple(step_specs(pipeline.derive)),
    )
    return StepSpec(
        "98 split", f"{__name__}:SplitSink", json.dumps(config.to_dict(), sort_keys=True)
    )


def write_corpus_files(
    draft: Draft, result: RunResult, sources: Sequence[PipelineSource], steps: Sequence[str]
) -> dict[str, Any]:
    """Write the corpus of a complete run; returns the counters.

    steps: names, in the funnel's order. Raises DataError if no training document is left.
    """
    last = result.folders[-1]
    documents: Counter[str] = Counter()
    for done in result.jobs[-1]:
        for split in SPLITS:
            if split in done.files and done.files[split].rows:
                documents[split] += done.files[split].rows
                name = f"{split}/{done.number:05d}.parquet"
                link_file(shard_path(last, done.number, split), draft.file(name))
    for number, (folder, jobs) in enumerate(zip(result.folders, result.jobs, strict=True), start=1):
        for done in jobs:
            if REMOVED_STREAM in done.files and done.files[REMOVED_STREAM].rows:
                name = f"removed/{number:02d}-{done.number:05d}.parquet"
                link_file(shard_path(folder, done.number, REMOVED_STREAM), draft.file(name))
    counters = _summarize_counters(result, sources, steps)
    if not documents["train"]:
        raise DataError(f"No document is left to train on: {_explain_empty_train(counters)}.")
    write_json(draft.file(COUNTERS_FILE), counters)
    draft.numbers |= {
        "documents": {split: documents[split] for split in SPLITS},
        "bytes": {split: counters["splits"][split]["bytes"] for split in SPLITS},
        "removed": counters["reasons"],
    }
    return counters


def _summarize_counters(
    result: RunResult, sources: Sequence[PipelineSource], steps: Sequence[str]
) -> dict[str, Any]:
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    for jobs in result.jobs:
        for done, source in zip(jobs, result.sources, strict=True):
            by_source[source].update(done.counters)
    every: Counter[str] = Counter()
    for counters in by_source.values():
        every.update(counters)
    names = [READ_STEP, *steps, ENGINE_STEP]
    reasons: Counter[str] = Counter()
    for key, count in every.items():
        if "|record|" in key:
            reasons[key.split("|record|", 1)[1]] += count
    first = "unread licence|"
    unread = {key.removeprefix(first): n for key, n in every.items() if key.startswith(first)}
    return ({UNREAD_LICENCE_KEYS: dict(sorted(unread.items()))} if unread else {}) | {
        "steps": _step_funnel(every, names),
        "sources": {
            source.name: {
                "licence": source.licence,
                "reader": source.reader,
                "steps": _step_funnel(by_source[source.name], names),
                "splits": split_sizes(by_source[source.name]),
                "licences": licence_counts(by_source[source.name]),
            }
            for source in sources
        },
        "splits": split_sizes(every),
        "licences": licence_counts(every),
        "reasons": dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        "histograms": histograms(every),
    }


def _step_funnel(counters: Mapping[str, int], names: Iterable[str]) -> list[dict[str, Any]]:
    """Counts of each step: records in and out, removals by kind and reason, characters after it,
    and the characters that it added."""
    rows: dict[str, dict[str, Any]] = {}
    for key, count in sorted(counters.items()):
        step, what, *reason = key.split("|", 2)
        row = rows.setdefault(step, {"in": 0, "out": 0, "characters": 0, "grew": 0, "taken": {}})
        if reason:
            row["taken"].setdefault(what, {})[reason[0]] = count
        else:
            row[what] = count
    return [{"name": name, **rows[name]} for name in names if name in rows]


def count_non_documents(steps: Sequence[Mapping[str, Any]]) -> int:
    """Number of files that are not documents, such as pictures and links."""
    taken = steps[0]["taken"].get("record", {}) if steps and steps[0]["name"] == READ_STEP else {}
    return sum(count for reason, count in taken.items() if reason in NOT_DOCUMENT_REASONS)


def split_sizes(counters: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Documents, derived documents, characters and bytes by split."""
    units = ("documents", "derived", "characters", "bytes")
    return {
        split: {unit: counters.get(f"split|{split}|{unit}", 0) for unit in units}
        for split in SPLITS
    }


def licence_counts(counters: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Documents and characters by licence, the most frequent first."""
    units = ("documents", "characters")
    first = f"licence|{units[0]}|"
    names = [key.removeprefix(first) for key in counters if key.startswith(first)]
    rows = {name: {unit: counters[f"licence|{unit}|{name}"] for unit in units} for name in names}
    order = sorted(rows, key=lambda name: (-rows[name]["documents"], name))
    return {name: rows[name] for name in order[:MAX_LICENCES]}


def histograms(counters: Mapping[str, int]) -> dict[str, list[tuple[float, int]]]:
    """(start, count) of the bins of each number, ascending."""
    bins: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for key, count in counters.items():
        if key.startswith("number|"):
            _, name, start = key.split("|")
            bins[name].append((float(start), count))
    most = sorted(bins, key=lambda name: (-sum(n for _, n in bins[name]), name))[:MAX_HISTOGRAMS]
    return {name: sorted(bins[name]) for name in sorted(most)}


def _explain_empty_train(counters: Mapping[str, Any]) -> str:
    """One line that explains a corpus without training documents."""
    reasons = [f"{count} {reason}" for reason, count in list(counters["reasons"].items())[:5]]
    held_out = sum(split["documents"] for split in counters["splits"].values())
    counts = [f"{held_out} are held out"] if held_out else []
    why = ", ".join([*counts, *reasons]) or "nothing was read"
    if "another kind of file" in counters["reasons"]:
        why += '; set `reader` for a source that is not a folder of documents ("jsonl", …)'
    return why
