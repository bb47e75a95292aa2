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
)
from groundup.documents import NO_DOCUMENTS, UNREAD, arrow

from ..engine.cluster import RunnerName, open_runner
from ..engine.disk import telling_full_disk
from ..engine.job import Use, made
from ..engine.pool import LIMIT_SECONDS, Pool
from ..engine.run import Plan, difference, is_begun, run
from ..engine.survey import Each
from ..split import COUNTERS, split_paths
from .inputs import Found, Hashed, fingerprints, look, origins
from .pipeline import Pipeline, portable, read_pipeline, surveys, uses
from .sample import SAMPLE_FILE, read_sample, sample
from .spread import in_small_parts
from .write import HAS_TEXT, ending, skipped, split_name, write

SMALL = 10_000
"""Up to this many documents, every held-out split gets at least one."""
TOP_REASONS, TOP_UNREAD = 3, 8
UNFINISHED, PHASES = ".scratch/pipeline.json", ".scratch/phases"


def prepare(
    pipeline: Path,
    out: Path,
    *,
    workers: int = 0,
    runner: RunnerName = "pool",
    address: str = "",
    limit_seconds: float = LIMIT_SECONDS,
    dry_run: bool = False,
    samples: int = 20,
) -> Artifact | str:
    """Prepare a corpus from a pipeline in TOML, or from a folder with the default steps.

    pipeline        a TOML file (see docs/corpus-engine.md), or a folder of documents
    workers         processes; 0 is one per core
    runner          a local pool of processes, local Daft, or Daft on Ray
    address         address of a running Ray cluster, such as ray://host:10001
    limit_seconds   CPU time limit per record; a slower one is rejected
    dry_run         only show what each step does to some records of each source
    samples         records per source in a dry run

    Raises ConfigError for an invalid pipeline, ArtifactError if `out` holds another corpus,
    complete or not (for a dry run: any artifact), CapacityError if the disk is full.
    """
    arrow()
    pipeline, out = Path(pipeline), Path(out)
    config = read_pipeline(pipeline)
    home = pipeline.parent
    found = look(in_small_parts(config) if dry_run else config, home)
    for source in found:
        if out.resolve().is_relative_to(source.root.resolve()):
            raise ConfigError(f"{out} is inside the source {source.root}; choose another --out.")
    named = portable(config)  # before any hashing: raises for a file that is missing or a pipe
    if dry_run:
        if (out / MANIFEST).exists():
            raise ArtifactError(f"{out} holds an artifact; choose another --out for a dry run.")
        with Pool(workers, limit_seconds) as each:
            return shown(sample(config, found, out, samples, each))
    with open_runner(runner, workers, limit_seconds, address) as each:
        hashed = fingerprints(found, each)
        named = with_digests(named, [source.digest for source in hashed])
        refuse_other(out, named)
        for suffix in (".jsonl", ".html"):  # from an earlier dry run
            (out / SAMPLE_FILE).with_suffix(suffix).unlink(missing_ok=True)
        with telling_full_disk(out):
            made = produce(
                out, kind="corpus", stage="prepare", version=4, config=named, parents={},
                write=lambda draft: carry_out(
                    draft, named, config, plan_of(config, found, hashed), each
                ),
            )  # fmt: skip
    record.say(ended(json.loads(made.file(COUNTERS).read_text(encoding="utf-8")), out))
    return made


def ended(told: dict[str, Any], out: Path) -> str:
    """Summary of a run: documents read, kept and dropped, warnings, and the next command."""
    first, splits = told["steps"][0], told["splits"]
    derived = sum(split["derived"] for split in splits.values())
    own = sum(split["documents"] for split in splits.values()) - derived
    by_split = ", ".join(f"{split['documents']:,} {name}" for name, split in splits.items())
    reasons = [pair for pair in told["reasons"].items() if pair[0] not in NO_DOCUMENTS]
    kept = f"{own:,} kept" + f" + {derived:,} derived" * bool(derived)
    dropped, others = sum(count for _, count in reasons), skipped(told["steps"])
    lines = [f"{first['in'] - others:,} documents read: {kept} ({by_split}), {dropped:,} dropped"]
    if others:
        lines.append(f"  {others:,} files skipped that are no documents (pictures, links, …)")
    if reasons:
        shown = ", ".join(f"{count:,} {reason}" for reason, count in reasons[:TOP_REASONS])
        lines.append(f"  dropped most: {shown}" + ", …" * (len(reasons) > TOP_REASONS))
    lines += [
        f"  Warning: {key} is not read as a licence ({count:,} documents); "
        "state it as `licence`, or the source's counts"
        for key, count in list(told.get(UNREAD, {}).items())[:TOP_UNREAD]
    ]
    return "\n".join([*lines, f"  what went and why: groundup corpus report {out}"])


def shown(lines: Path) -> str:
    """Write the HTML page of a dry run next to its lines; returns its path."""
    from ..explain.dry_run import dry_run_page

    return str(dry_run_page(list(read_sample(lines)), lines.with_suffix(".html")))


def with_digests(config: Pipeline, digests: list[str]) -> Pipeline:
    """The pipeline with the content hashes of its sources."""
    sources = (
        source.model_copy(update={"digest": value})
        for source, value in zip(config.sources, digests, strict=True)
    )
    return config.model_copy(update={"sources": tuple(sources)})


def refuse_other(out: Path, config: Pipeline) -> None:
    """Raise ArtifactError if `out` holds a different corpus or an unfinished run of one."""
    existing = [(out / MANIFEST, "a corpus")]
    if is_begun(out / PHASES):
        existing.append((out / UNFINISHED, "an unfinished run"))
    for file, what in existing:
        try:
            old = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        old, new = old.get("config", old), config.plain()
        for before, now in zip(old.get("sources", ()), new["sources"], strict=False):
            if before | {"digest": ""} == now | {"digest": ""} and before != now:
                change = f"the files of source {now['name']} have changed since"
                raise ArtifactError(f"{out} holds {what}, and {change}; {REMEDY}")
        if changed := changed_file(old, new):
            raise ArtifactError(f"{out} holds {what}, and {changed} has changed since; {REMEDY}")
        if old != new and "sources" in old:
            change = difference(old, new)
            raise ArtifactError(f"{out} holds {what} of another pipeline: {change}; {REMEDY}")


def changed_file(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first file of a step's settings whose contents changed; empty if none did."""
    for table in ("steps", "derive"):
        for before, now in zip(old.get(table, ()), new[table], strict=False):
            pairs = zip(before.get("digests", ()), now["digests"], strict=False)
            for (name, was), (_, digest) in pairs:
                if before | {"digests": now["digests"]} == now and was != digest:
                    return f"the file of {now['name'] or now['use']}, {name},"
    return ""


REMEDY = "choose another --out, or remove it to start again."


def plan_of(config: Pipeline, found: Sequence[Found], hashed: Sequence[Hashed]) -> Plan:
    """The engine's plan for a pipeline."""
    found_uses = (*uses(config.steps), HAS_TEXT)
    return Plan(
        tuple(origins(found, config.shard_bytes, hashed)),
        found_uses,
        surveys(found_uses),
        ending(config),
        SMALL,
    )


def carry_out(draft: Draft, named: Pipeline, config: Pipeline, plan: Plan, each: Each) -> None:
    """Run the plan and write the corpus into the draft."""
    write_json(draft.path / UNFINISHED, named.plain())
    ran = run(plan, draft.path / PHASES, each, lambda shards: chosen_ending(config, shards))
    write(draft, ran, named)


def chosen_ending(config: Pipeline, shards: Sequence[Path]) -> Use:
    """The sink of a small collection, in which every requested split gets a document."""
    whole = [source.name for source in config.sources if source.whole_files]
    names = [split_name(*pair, whole) for shard in shards for pair in names_of(shard)]
    shares = config.split
    wanted = split_paths(names, shares.validation_share, shares.test_share, config.seed)
    plain = made(ending(config))
    changed = {name: split for name, split in wanted.items() if plain.split(name) != split}
    return ending(config, changed)


def names_of(shard: Path) -> list[tuple[str, str]]:
    """(source, path) of every record of a shard."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(shard, columns=["source", "path"])
    return list(zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True))
