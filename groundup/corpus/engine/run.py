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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ConfigError, DataError, record
from groundup.documents import arrow

from .disk import telling_full_disk
from .files import unplaced
from .job import ENGINE, KEPT, Job, Origin, Use, configured, do, made
from .shards import Done, File, finished, shard_path, write_ascii
from .survey import Each, Survey
from .unique import UniqueIds


class Plan(NamedTuple):
    """A run's specification: it determines every byte of the result."""

    origins: tuple[Origin, ...]
    """One per shard, in the order of the result."""
    uses: tuple[Use, ...]
    """Steps and global steps in their order."""
    surveys: tuple[Use, ...]
    """The global steps among them."""
    ending: Use | None = None
    """Sink of the last phase."""
    small: int = 0
    """Up to this many records, the sink is chosen once all kept records are known."""


class Phase(NamedTuple):
    """A map over shards, at the beginning or after a global step."""

    survey: Use | None
    steps: tuple[Use, ...]


class Ran(NamedTuple):
    """A complete run."""

    folders: tuple[Path, ...]
    """Folders of the phases; the last has the streams of the result."""
    jobs: tuple[tuple[Done, ...], ...]
    """Job results by phase, in shard order."""
    sources: tuple[str, ...]
    """Source of each shard."""


UNIQUE = Use(ENGINE, f"{UniqueIds.__module__}:{UniqueIds.__name__}")


def phases(plan: Plan) -> list[Phase]:
    """Group steps into phases; each but the first begins with a global step."""
    groups: list[tuple[Use | None, list[Use]]] = [(None, [])]
    for use in plan.uses:
        if use in plan.surveys:
            groups.append((use, []))
        else:
            groups[-1][1].append(use)
    first, *later = [Phase(survey, tuple(steps)) for survey, steps in groups]
    return [first, Phase(UNIQUE, ()), *later]


def run(
    plan: Plan,
    folder: Path,
    each: Each,
    choose: Callable[[Sequence[Path]], Use | None] = lambda shards: None,
) -> Ran:
    """Run a plan in its own folder, resuming what is incomplete.

    For a small run, `choose` may return another sink from the contents of the final shards.

    Raises ConfigError if the folder holds a run of another plan, DataError if there is nothing to
    read, CapacityError if the disk is full; complete shards are kept and not redone.
    """
    arrow()
    if not plan.origins:
        raise DataError("The sources have nothing to read; check their paths and readers.")
    with telling_full_disk(folder):
        claim(plan, folder)
        return phase_by_phase(plan, folder, each, choose)


def phase_by_phase(
    plan: Plan, folder: Path, each: Each, choose: Callable[[Sequence[Path]], Use | None]
) -> Ran:
    """Run the incomplete phases in order."""
    maps, ending, before = phases(plan), plan.ending, None
    done: list[tuple[Done, ...]] = []
    for number, phase in enumerate(maps):  # a small run appends one more phase
        place, label = folder / f"{number + 1:02d}", f"{number + 1}/{len(maps)}"
        jobs = complete(place)
        if jobs is None:
            todo = list(plan_jobs(plan, phase, place, before))
            if phase.survey is not None:
                todo = surveyed(phase.survey, todo, place / "survey", each, label)
            if number == len(maps) - 1 and number:
                if 0 < rows_kept(done[0]) <= plan.small:
                    ending = choose([job.shard for job in todo if job.shard]) or ending
                todo = [job._replace(ending=ending) for job in todo]
            jobs = map_shards(todo, each, label, done[-1] if done else None)
            rows = [[job.number, job.files, job.counters] for job in jobs]
            write_ascii(place / "phase.done", rows)
        if number == 0 and 0 < rows_kept(jobs) <= plan.small:
            maps.append(Phase(None, ()))
        if before is not None:
            forget(before)
        done.append(jobs)
        before = place
    folders = tuple(folder / f"{number + 1:02d}" for number in range(len(maps)))
    return Ran(folders, tuple(done), tuple(origin.source for origin in plan.origins))


def rows_kept(jobs: Sequence[Done]) -> int:
    """Number of records that a phase kept."""
    return sum(job.files[KEPT].rows for job in jobs)


def complete(place: Path) -> tuple[Done, ...] | None:
    """Job results of a phase that is complete; None if it is not."""
    try:
        rows = json.loads((place / "phase.done").read_text())
    except OSError:
        return None
    return tuple(
        Done(number, {name: File(*file) for name, file in files.items()}, Counter(counters))
        for number, files, counters in rows
    )


def plan_jobs(plan: Plan, phase: Phase, place: Path, before: Path | None) -> Iterator[Job]:
    """Yield the jobs of a phase."""
    for number, origin in enumerate(plan.origins):
        shard = None if before is None else shard_path(before, number, KEPT)
        read = origin if before is None else None
        yield Job(number, place, read, shard, origin.source, steps=phase.steps)


def map_shards(
    jobs: Sequence[Job], each: Each, label: str, before: Sequence[Done] | None
) -> tuple[Done, ...]:
    """Run the incomplete jobs, with a progress bar."""
    old = {job.number: finished(job.folder, job.number) for job in jobs}
    todo = [job for job in jobs if old[job.number] is None]
    sizes = {job.number: weight(job, before) for job in jobs}
    unit = "documents" if before else "MB"
    with record.progress(label, sum(sizes.values()), unit) as bar:
        bar.advance(sum(sizes[job.number] for job in jobs if old[job.number] is not None))
        new = each(do, todo, lambda done: bar.advance(sizes[done.number]))
    results = {done.number: done for done in [*new, *filter(None, old.values())]}
    return tuple(results[job.number] for job in jobs)


def weight(job: Job, before: Sequence[Done] | None) -> float:
    """Size of a job for the progress bar: records, or MB of input."""
    if before is not None:
        return before[job.number].files[KEPT].rows
    return sum(part.bytes for part in job.origin.parts) / 1e6 if job.origin else 0


def forget(folder: Path) -> None:
    """Delete the kept records of a consumed phase; its removals are part of the result."""
    for path in folder.glob(f"*.{KEPT}.parquet"):
        path.unlink()


def surveyed(use: Use, jobs: list[Job], scratch: Path, each: Each, label: str) -> list[Job]:
    """Run a global step over the jobs' shards, unless done before; the jobs with its results."""
    concerned = [job for job in jobs if not use.sources or job.source in use.sources]
    shards = [job.shard for job in concerned if job.shard is not None]
    marker = scratch / "survey.done"
    if marker.exists():
        rulings = [scratch / name for name in json.loads(marker.read_text())]
    else:
        record.say(f"{label} {use.name}: {len(shards)} shards")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        survey: Survey = made(use)
        rulings = list(survey.rulings(shards, each, scratch)) if shards else []
        if len(rulings) != len(shards):
            raise ConfigError(
                f"{use.name} returned {len(rulings)} files of results for {len(shards)} shards; "
                "expected one per shard, in their order."
            )
        write_ascii(marker, [str(path.relative_to(scratch)) for path in rulings])
    by_number = dict(zip((job.number for job in concerned), rulings, strict=True))
    return [
        job._replace(rulings=((use, by_number[job.number]),)) if job.number in by_number else job
        for job in jobs
    ]


def claim(plan: Plan, folder: Path) -> None:
    """Reserve a folder for a plan; ConfigError naming the difference if it holds another's run.

    A run that stopped before its first complete shard is overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new, file = json.loads(json.dumps(described(plan))), folder / "plan.json"
    try:
        old = json.loads(file.read_text())
    except FileNotFoundError:
        old = None
    if old is None or (old != new and not is_begun(folder)):
        for path in folder.glob("[0-9][0-9]"):
            shutil.rmtree(path)
        write_ascii(file, new)
    elif old != new:
        raise ConfigError(
            f"{folder} holds an unfinished run of another plan: {difference(old, new)}; "
            "choose another --out, or remove it to start again."
        )


def portable(use: Use) -> Use:
    """A spec whose file settings are reduced to names, without this machine's folders."""
    settings = unplaced(type(configured(use)), json.loads(use.settings))
    return use._replace(settings=json.dumps(settings, sort_keys=True))


def is_begun(folder: Path) -> bool:
    """Whether any shard of the run in this folder is complete."""
    return any(folder.glob("[0-9]*/*.done"))


def described(plan: Plan) -> dict[str, Any]:
    """A plan as JSON, without the paths of its sources."""
    return {
        "shards": [
            [
                origin.source,
                origin.reader.target,
                origin.reader.settings,
                origin.licence,
                origin.parts,
            ]
            for origin in plan.origins
        ],
        "steps": [list(portable(use)) for use in plan.uses],
        "surveys": [use.name for use in plan.surveys],
        "ending": list(plan.ending) if plan.ending else None,
    }


def difference(old: Any, new: Any, where: str = "") -> str:
    """Describe the first difference of two JSON values.

    >>> difference({"steps": [["02 web.lines", 3]]}, {"steps": [["02 web.lines", 4]]})
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
        return f"{where} was {short(old)} and now is {short(new)}"
    for key, before, after in pairs:
        if before != after:
            return difference(before, after, f"{where}.{key}".lstrip("."))
    return f"{where} is the same"


def short(value: Any) -> str:
    """A value as JSON, truncated to 60 characters.

    >>> short("a" * 100)[-5:]
    'aaaa…'
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59].rstrip('"') + "…"
