"""A run: phases of steps over shards, separated by global steps; resumable.

    01 read and steps      jobs over the sources' input splits
    02 global step         unique ids: over all shards; one file of results per shard
    03 results and steps   jobs over shards; …; the last phase writes the streams of the result

Each phase has a folder; markers per job and per phase record what is complete. When a phase is
complete, the shards that it read are deleted, so that a run needs disk space for two phases. Jobs
run on an `Executor`; results are in shard order, never in order of completion.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError, DataError, record

from ..dedup.exact import UniqueIds
from .executors import Executor
from .job import ENGINE_STEP, KEPT_STREAM, CorpusJob, JobInput, run_job
from .shards import (
    JobResult,
    ShardFile,
    catch_full_disk,
    load_job_result,
    shard_path,
    write_ascii_json,
)
from .specs import GlobalStep, StepSpec, instantiate, step_config, with_file_names_only


class RunPlan(NamedTuple):
    """A run's specification: it determines every byte of the result."""

    inputs: tuple[JobInput, ...]
    """One per shard, in the order of the result."""
    steps: tuple[StepSpec, ...]
    """Steps and global steps in their order."""
    sink: StepSpec | None = None
    """Sink of the last phase."""
    small_run_records: int = 0
    """Up to this many records, the sink is chosen once all kept records are known."""


class RunResult(NamedTuple):
    """A complete run."""

    folders: tuple[Path, ...]
    """Folders of the phases; the last has the streams of the result."""
    jobs: tuple[tuple[JobResult, ...], ...]
    """Job results by phase, in shard order."""
    sources: tuple[str, ...]
    """Source of each shard."""


UNIQUE_IDS = StepSpec(ENGINE_STEP, f"{UniqueIds.__module__}:{UniqueIds.__name__}")


def _plan_phases(steps: Sequence[StepSpec]) -> list[tuple[StepSpec | None, list[StepSpec]]]:
    """Phases of a global step (None in the first) and the steps up to the next one."""
    phases: list[tuple[StepSpec | None, list[StepSpec]]] = [(None, [])]
    for use in steps:
        if use.is_global:
            phases.append((use, []))
        else:
            phases[-1][1].append(use)
    phases.insert(1, (UNIQUE_IDS, []))
    return phases


def run_plan(
    plan: RunPlan,
    folder: Path,
    executor: Executor,
    choose: Callable[[Sequence[Path]], StepSpec | None] = lambda shards: None,
) -> RunResult:
    """Run a plan in its own folder, resuming what is incomplete.

    For a small run, `choose` may return another sink from the contents of the final shards.

    Raises ConfigError if the folder holds a run of another plan, DataError if there is nothing to
    read, CapacityError if the disk is full; complete shards are kept and not redone.
    """
    if not plan.inputs:
        raise DataError("The sources have nothing to read; check their paths and readers.")
    with catch_full_disk(folder):
        _reserve_folder(plan, folder)
        return _run_phases(plan, folder, executor, choose)


def _run_phases(
    plan: RunPlan,
    folder: Path,
    executor: Executor,
    choose: Callable[[Sequence[Path]], StepSpec | None],
) -> RunResult:
    phases, ending, before = _plan_phases(plan.steps), plan.sink, None
    done: list[tuple[JobResult, ...]] = []
    for number, (global_step, steps) in enumerate(phases):  # a small run appends one more phase
        place, label = folder / f"{number + 1:02d}", f"{number + 1}/{len(phases)}"
        jobs = _read_phase_results(place)
        if jobs is None:
            todo = [
                CorpusJob(
                    at, place, None if before else origin,
                    shard_path(before, at, KEPT_STREAM) if before else None,
                    origin.source, steps=tuple(steps),
                )
                for at, origin in enumerate(plan.inputs)
            ]  # fmt: skip
            if global_step is not None:
                todo = _run_global_step(global_step, todo, place / "survey", executor, label)
            if number == len(phases) - 1:
                if 0 < _count_kept(done[0]) <= plan.small_run_records:
                    ending = choose([job.shard for job in todo if job.shard]) or ending
                todo = [job._replace(ending=ending) for job in todo]
            jobs = _run_jobs(todo, executor, label, done[-1] if done else None)
            rows = [[job.number, job.files, job.counters] for job in jobs]
            write_ascii_json(place / "phase.done", rows)
        if number == 0 and 0 < _count_kept(jobs) <= plan.small_run_records:
            phases.append((None, []))
        if before is not None:
            for path in before.glob(f"*.{KEPT_STREAM}.parquet"):
                path.unlink()  # the removals are part of the result
        done.append(jobs)
        before = place
    folders = tuple(folder / f"{number + 1:02d}" for number in range(len(phases)))
    return RunResult(folders, tuple(done), tuple(origin.source for origin in plan.inputs))


def _count_kept(jobs: Sequence[JobResult]) -> int:
    return sum(job.files[KEPT_STREAM].rows for job in jobs)


def _read_phase_results(place: Path) -> tuple[JobResult, ...] | None:
    try:
        rows = json.loads((place / "phase.done").read_text())
    except OSError:
        return None
    return tuple(
        JobResult(
            number, {name: ShardFile(*file) for name, file in files.items()}, Counter(counters)
        )
        for number, files, counters in rows
    )


def _run_jobs(
    jobs: Sequence[CorpusJob], executor: Executor, label: str, before: Sequence[JobResult] | None
) -> tuple[JobResult, ...]:
    old = {job.number: load_job_result(job.folder, job.number) for job in jobs}
    todo = [job for job in jobs if old[job.number] is None]
    sizes = {}  # for the progress bar: records, or MB of input
    for job in jobs:
        parts = job.origin.input_splits if job.origin else ()
        kept = before[job.number].files[KEPT_STREAM] if before else None
        sizes[job.number] = kept.rows if kept else sum(part.bytes for part in parts) / 1e6
    unit = "documents" if before else "MB"
    with record.progress(label, sum(sizes.values()), unit) as bar:
        bar.advance(sum(sizes[job.number] for job in jobs if old[job.number] is not None))
        new = executor(run_job, todo, lambda done: bar.advance(sizes[done.number]))
    results = {done.number: done for done in [*new, *filter(None, old.values())]}
    return tuple(results[job.number] for job in jobs)


def _run_global_step(
    use: StepSpec, jobs: list[CorpusJob], scratch: Path, executor: Executor, label: str
) -> list[CorpusJob]:
    concerned = [job for job in jobs if not use.sources or job.source in use.sources]
    shards = [job.shard for job in concerned if job.shard is not None]
    marker = scratch / "survey.done"
    if marker.exists():
        paths = [scratch / name for name in json.loads(marker.read_text())]
    else:
        record.log(f"{label} {use.name}: {len(shards)} shards")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        survey: GlobalStep = instantiate(use)
        paths = list(survey.decide(shards, executor, scratch)) if shards else []
        if len(paths) != len(shards):
            raise ConfigError(
                f"{use.name} returned {len(paths)} files of results for {len(shards)} shards."
            )
        write_ascii_json(marker, [str(path.relative_to(scratch)) for path in paths])
    by_number = dict(zip((job.number for job in concerned), paths, strict=True))
    return [
        job._replace(step_results=((use, by_number[job.number]),))
        if job.number in by_number
        else job
        for job in jobs
    ]


def _reserve_folder(plan: RunPlan, folder: Path) -> None:
    """Reserve a folder for a plan; ConfigError naming the difference if it holds another's run.

    A run that stopped before its first complete shard is overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new, file = json.loads(json.dumps(_plan_json(plan))), folder / "plan.json"
    try:
        old = json.loads(file.read_text())
    except FileNotFoundError:
        old = None
    if old is None or (old != new and not has_complete_shard(folder)):
        for path in folder.glob("[0-9][0-9]"):
            shutil.rmtree(path)
        write_ascii_json(file, new)
    elif old != new:
        raise ConfigError(
            f"{folder} holds an unfinished run of another plan: {first_difference(old, new)}; "
            "choose another --out, or remove it to start again."
        )


def has_complete_shard(folder: Path) -> bool:
    """Whether any shard of the run in this folder is complete."""
    return any(folder.glob("[0-9]*/*.done"))


def _plan_json(plan: RunPlan) -> dict[str, Any]:
    """A plan as JSON, without the paths of its sources and the folders of its settings' files."""

    def compared_step(use: StepSpec) -> list[Any]:
        """A step as a resumed run must have it: files of its settings by name, not by folder."""
        settings = with_file_names_only(type(step_config(use)), json.loads(use.settings))
        return list(use._replace(settings=json.dumps(settings, sort_keys=True)))

    return {
        "shards": [
            [origin.source, *origin.reader[1:3], origin.licence, origin.input_splits]
            for origin in plan.inputs
        ],
        "steps": [compared_step(use) for use in plan.steps],
        "surveys": [use.name for use in plan.steps if use.is_global],
        "ending": list(plan.sink) if plan.sink else None,
    }


def first_difference(old: Any, new: Any, where: str = "") -> str:
    """Describe the first difference of two JSON values.

    >>> first_difference({"steps": [["02 web.lines", 3]]}, {"steps": [["02 web.lines", 4]]})
    'steps.0.1 was 3 and now is 4'
    """
    if isinstance(old, str) and isinstance(new, str) and {old[:1], new[:1]} == {"{"}:
        old, new = json.loads(old), json.loads(new)  # settings are kept as text
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        pairs = [(key, old.get(key), new.get(key)) for key in keys]
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        if len(old) != len(new):
            return f"{where} had {len(old)} entries and now has {len(new)}"
        pairs = [(str(at), *pair) for at, pair in enumerate(zip(old, new, strict=True))]
    else:
        return f"{where} was {_truncated_json(old)} and now is {_truncated_json(new)}"
    for key, before, after in pairs:
        if before != after:
            return first_difference(before, after, f"{where}.{key}".lstrip("."))
    return f"{where} is the same"


def _truncated_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59].rstrip('"') + "…"
