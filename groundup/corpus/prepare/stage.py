"""`groundup prepare`: a `corpus` artifact from a pipeline in TOML or from a folder.

The configuration holds everything that determines the result: the pipeline and hashes of its
sources; not the executor. A stopped run resumes; one whose pipeline or sources changed is rejected
with the difference.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    Draft,
    produce,
    record,
    write_json,
    write_text,
)
from groundup.documents import NOT_DOCUMENT_REASONS, UNREAD_LICENCE_KEYS

from ..engine.executors import (
    RECORD_LIMIT_SECONDS,
    Executor,
    RunnerName,
    WorkerPool,
    open_executor,
)
from ..engine.run import RunPlan, first_difference, has_complete_shard, run_plan
from ..engine.shards import catch_full_disk
from ..engine.specs import StepSpec, instantiate
from ..split import COUNTERS_FILE, split_paths
from .dry_run import DRY_RUN_FILE, dry_run_steps, read_dry_run, with_small_splits
from .pipeline import (
    CorpusPipeline,
    SourceListing,
    fingerprint_sources,
    list_sources,
    pipeline_toml,
    plan_job_inputs,
    portable_pipeline,
    read_pipeline,
    step_specs,
)
from .write import HAS_TEXT, count_non_documents, split_key, split_sink, write_corpus_files

SMALL_CORPUS_DOCUMENTS = 10_000
"""Up to this many documents, every held-out split gets at least one."""
TOP_REASONS, TOP_UNREAD = 3, 8
PIPELINE_TOML = "pipeline.toml"
"""The pipeline as run, including defaults."""
PIPELINE_FILE, PHASES_FOLDER = ".scratch/pipeline.json", ".scratch/phases"


def prepare(
    pipeline: Path,
    out: Path,
    *,
    workers: int = 0,
    runner: RunnerName = "pool",
    address: str = "",
    limit_seconds: float = RECORD_LIMIT_SECONDS,
    dry_run: bool = False,
    samples: int = 20,
) -> Artifact | str:
    """Prepare a corpus from a pipeline in TOML, or from a folder with the default steps.

    pipeline        a TOML file (see docs/reference/corpus/engine.md), or a folder of documents
    workers         processes; 0 is one per core
    runner          a local pool of processes, local Daft, or Daft on Ray
    address         address of a running Ray cluster, such as ray://host:10001
    limit_seconds   CPU time limit per record; a slower one is rejected
    dry_run         only show what each step does to some records of each source
    samples         records per source in a dry run

    Raises ConfigError for an invalid pipeline, ArtifactError if `out` holds another corpus,
    complete or not (for a dry run: any artifact), CapacityError if the disk is full.
    """
    pipeline, out = Path(pipeline), Path(out)
    config = read_pipeline(pipeline)
    home = pipeline.parent
    found = list_sources(with_small_splits(config) if dry_run else config, home)
    for source in found:
        if out.resolve().is_relative_to(source.root.resolve()):
            raise ConfigError(f"{out} is inside the source {source.root}; choose another --out.")
    named = portable_pipeline(config)  # before hashing: raises if a file is missing or a pipe
    if dry_run:
        if (out / MANIFEST).exists():
            raise ArtifactError(f"{out} holds an artifact; choose another --out for a dry run.")
        with WorkerPool(workers, limit_seconds) as each:
            lines = dry_run_steps(config, found, out, samples, each)
        from ..explain.dry_run import dry_run_page

        return str(dry_run_page(list(read_dry_run(lines)), lines.with_suffix(".html")))
    with open_executor(runner, workers, limit_seconds, address) as each:
        made = _run_pipeline(config, named, found, out, each)
    record.log(_run_summary(json.loads(made.file(COUNTERS_FILE).read_text(encoding="utf-8")), out))
    return made


def _run_pipeline(
    config: CorpusPipeline,
    named: CorpusPipeline,
    found: Sequence[SourceListing],
    out: Path,
    executor: Executor,
) -> Artifact:
    """Hash the sources, run the steps and write the corpus; `named` has no absolute paths."""
    hashed = fingerprint_sources(found, executor)
    sources = (
        source.model_copy(update={"digest": value.digest})
        for source, value in zip(named.sources, hashed, strict=True)
    )
    named = named.model_copy(update={"sources": tuple(sources)})
    _check_output(out, named)
    for suffix in (".jsonl", ".html"):  # from an earlier dry run
        (out / DRY_RUN_FILE).with_suffix(suffix).unlink(missing_ok=True)

    def write(draft: Draft) -> None:
        write_json(draft.path / PIPELINE_FILE, named.to_dict())
        inputs = tuple(plan_job_inputs(found, config.shard_bytes, hashed))
        steps = (*step_specs(config.steps), HAS_TEXT)
        plan = RunPlan(inputs, steps, split_sink(config), SMALL_CORPUS_DOCUMENTS)
        place = draft.path / PHASES_FOLDER
        ran = run_plan(plan, place, executor, lambda shards: _small_corpus_sink(config, shards))
        names = [use.name for use in (*steps, *step_specs(config.derive))]
        write_corpus_files(draft, ran, named.sources, names)
        write_text(draft.file(PIPELINE_TOML), pipeline_toml(named))

    with catch_full_disk(out):
        return produce(
            out, kind="corpus", stage="prepare", version=4, config=named, parents={}, write=write
        )


def _run_summary(counters: dict[str, Any], out: Path) -> str:
    """Summary of a run: documents read, kept and dropped, warnings, and the next command."""
    first, splits = counters["steps"][0], counters["splits"]
    derived = sum(split["derived"] for split in splits.values())
    own = sum(split["documents"] for split in splits.values()) - derived
    by_split = ", ".join(f"{split['documents']:,} {name}" for name, split in splits.items())
    reasons = [pair for pair in counters["reasons"].items() if pair[0] not in NOT_DOCUMENT_REASONS]
    kept = f"{own:,} kept" + f" + {derived:,} derived" * bool(derived)
    dropped, others = sum(count for _, count in reasons), count_non_documents(counters["steps"])
    lines = [f"{first['in'] - others:,} documents read: {kept} ({by_split}), {dropped:,} dropped"]
    if others:
        lines.append(f"  {others:,} files skipped that are no documents (pictures, links, …)")
    if reasons:
        shown = ", ".join(f"{count:,} {reason}" for reason, count in reasons[:TOP_REASONS])
        lines.append(f"  dropped most: {shown}" + ", …" * (len(reasons) > TOP_REASONS))
    lines += [
        f"  Warning: {key} is not read as a licence ({count:,} documents); "
        "state it as `licence`, or the source's counts"
        for key, count in list(counters.get(UNREAD_LICENCE_KEYS, {}).items())[:TOP_UNREAD]
    ]
    return "\n".join([*lines, f"  what went and why: groundup corpus report {out}"])


def _check_output(out: Path, config: CorpusPipeline) -> None:
    """Raise ArtifactError if `out` holds a different corpus or an unfinished run of one."""
    existing = [(out / MANIFEST, "a corpus")]
    if has_complete_shard(out / PHASES_FOLDER):
        existing.append((out / PIPELINE_FILE, "an unfinished run"))
    for file, what in existing:
        try:
            old = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        old, new = old.get("config", old), config.to_dict()
        for before, now in zip(old.get("sources", ()), new["sources"], strict=False):
            if before | {"digest": ""} == now | {"digest": ""} and before != now:
                change = f"the files of source {now['name']} have changed since"
                raise ArtifactError(f"{out} holds {what}, and {change}; {REMEDY}")
        if changed := _changed_file(old, new):
            raise ArtifactError(f"{out} holds {what}, and {changed} has changed since; {REMEDY}")
        if old != new and "sources" in old:
            change = first_difference(old, new)
            raise ArtifactError(f"{out} holds {what} of another pipeline: {change}; {REMEDY}")


def _changed_file(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first file of a step's settings whose contents changed; empty if none did."""
    for table in ("steps", "derive"):
        for before, now in zip(old.get(table, ()), new[table], strict=False):
            pairs = zip(before.get("digests", ()), now["digests"], strict=False)
            for (name, was), (_, digest) in pairs:
                if before | {"digests": now["digests"]} == now and was != digest:
                    return f"the file of {now['name'] or now['use']}, {name},"
    return ""


REMEDY = "choose another --out, or remove it to start again."


def _small_corpus_sink(config: CorpusPipeline, shards: Sequence[Path]) -> StepSpec:
    """The sink of a small collection, in which every requested split gets a document."""
    import pyarrow.parquet as parquet

    whole = [source.name for source in config.sources if source.whole_files]
    tables = (parquet.read_table(shard, columns=["source", "path"]) for shard in shards)
    pairs = (zip(t["source"].to_pylist(), t["path"].to_pylist(), strict=True) for t in tables)
    names = [split_key(*pair, whole) for shard in pairs for pair in shard]
    shares = config.split
    wanted = split_paths(names, shares.validation_share, shares.test_share, config.seed)
    plain = instantiate(split_sink(config))
    return split_sink(config, {n: split for n, split in wanted.items() if plain.split(n) != split})
