"""A run: phases of steps over shards, broken by surveys, resumed where it stopped.

    01 read and steps      jobs over the sources' parts, then: does any id come twice?
    02 survey              all shards together; a file of rulings a shard
    03 rulings and steps   jobs over shards, …, the last one ends in the streams of the result

Each phase has a folder; a marker for each job and one for the phase say what is complete. Where a
phase is complete, the shards it read are deleted, so that a run needs the room of two phases.
Whoever runs the jobs is an `Each`; results are in the order of shards, never of arrival.
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
    """What a run is to do: it decides every byte of the result."""

    origins: tuple[Origin, ...]
    """One a shard, in the order of the result."""
    uses: tuple[Use, ...]
    """Steps and surveys in their order."""
    surveys: tuple[Use, ...]
    """Those of `uses` that are surveys."""
    ending: Use | None = None
    """What says in which stream a record ends."""
    small: int = 0
    """Records up to which the ending is chosen when all that stay are known."""


class Phase(NamedTuple):
    """A map over shards, after a survey or at the beginning."""

    survey: Use | None
    steps: tuple[Use, ...]


class Ran(NamedTuple):
    """A run that is complete."""

    folders: tuple[Path, ...]
    """Of the phases, in order; the last has the streams of the result."""
    jobs: tuple[tuple[Done, ...], ...]
    """By phase, in the order of shards."""
    sources: tuple[str, ...]
    """Of each shard."""


UNIQUE = Use(ENGINE, f"{UniqueIds.__module__}:{UniqueIds.__name__}")


def phases(plan: Plan) -> list[Phase]:
    """Steps grouped into maps, each begun by a survey but the first."""
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
    """Run a plan, or what is left of it, in a folder of its own.

    Of a small run, `choose` may give another ending by what the shards hold at the end.

    Raises ConfigError if the folder holds a run of another plan, DataError if there is nothing to
    read, CapacityError if the disk is full; what is complete stays and is not done again.
    """
    arrow()
    if not plan.origins:
        raise DataError("The sources hold nothing to read; check their paths and readers.")
    with telling_full_disk(folder):
        claim(plan, folder)
        return phase_by_phase(plan, folder, each, choose)


def phase_by_phase(
    plan: Plan, folder: Path, each: Each, choose: Callable[[Sequence[Path]], Use | None]
) -> Ran:
    """Do the phases that are not complete, in their order."""
    maps, ending, before = phases(plan), plan.ending, None
    done: list[tuple[Done, ...]] = []
    for number, phase in enumerate(maps):  # grows by one if the run is small
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
            rows = [[one.number, one.files, one.counters] for one in jobs]
            write_ascii(place / "phase.done", rows)
        if number == 0 and 0 < rows_kept(jobs) <= plan.small:
            maps.append(Phase(None, ()))
        if before is not None:
            forget(before)
        done.append(jobs)
        before = place
    folders = tuple(folder / f"{number + 1:02d}" for number in range(len(maps)))
    return Ran(folders, tuple(done), tuple(one.source for one in plan.origins))


def rows_kept(jobs: Sequence[Done]) -> int:
    """Records that a phase kept."""
    return sum(job.files[KEPT].rows for job in jobs)


def complete(place: Path) -> tuple[Done, ...] | None:
    """The jobs of a phase that was completed before."""
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
    """Do the jobs that are not done yet and tell how far it is."""
    old = {job.number: finished(job.folder, job.number) for job in jobs}
    todo = [job for job in jobs if old[job.number] is None]
    sizes = {job.number: weight(job, before) for job in jobs}
    unit = "documents" if before else "MB"
    with record.progress(label, sum(sizes.values()), unit) as bar:
        bar.advance(sum(sizes[job.number] for job in jobs if old[job.number] is not None))
        new = each(do, todo, lambda done: bar.advance(sizes[done.number]))
    found = {done.number: done for done in [*new, *filter(None, old.values())]}
    return tuple(found[job.number] for job in jobs)


def weight(job: Job, before: Sequence[Done] | None) -> float:
    """How much of the work a job is."""
    if before is not None:
        return before[job.number].files[KEPT].rows
    return sum(part.bytes for part in job.origin.parts) / 1e6 if job.origin else 0


def forget(folder: Path) -> None:
    """Delete the records of a phase that was read; what it removed is part of the result."""
    for path in folder.glob(f"*.{KEPT}.parquet"):
        path.unlink()


def surveyed(use: Use, jobs: list[Job], scratch: Path, each: Each, label: str) -> list[Job]:
    """The jobs with what a survey of all their shards rules; done once."""
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
                f"{use.name} gave {len(rulings)} files of rulings for {len(shards)} shards; "
                "a survey gives one for each, in their order."
            )
        write_ascii(marker, [str(path.relative_to(scratch)) for path in rulings])
    by_number = dict(zip((job.number for job in concerned), rulings, strict=True))
    return [
        job._replace(rulings=((use, by_number[job.number]),)) if job.number in by_number else job
        for job in jobs
    ]


def claim(plan: Plan, folder: Path) -> None:
    """Take a folder for a plan; ConfigError saying what differs if it holds another's run.

    A run that died before its first shard was complete holds nothing: its claim is taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told, file = json.loads(json.dumps(described(plan))), folder / "plan.json"
    try:
        old = json.loads(file.read_text())
    except FileNotFoundError:
        old = None
    if old is None or (old != told and not is_begun(folder)):
        for path in folder.glob("[0-9][0-9]"):
            shutil.rmtree(path)
        write_ascii(file, told)
    elif old != told:
        raise ConfigError(
            f"{folder} holds an unfinished run of another plan: {difference(old, told)}; "
            "choose another --out, or remove it to begin anew."
        )


def portable(use: Use) -> Use:
    """A use without the folders in which this machine keeps its files."""
    settings = unplaced(type(configured(use)), json.loads(use.settings))
    return use._replace(settings=json.dumps(settings, sort_keys=True))


def is_begun(folder: Path) -> bool:
    """Whether any shard of the run in a folder is complete."""
    return any(folder.glob("[0-9]*/*.done"))


def described(plan: Plan) -> dict[str, Any]:
    """A plan as JSON, without the places of its sources."""
    return {
        "shards": [
            [one.source, one.reader.target, one.reader.settings, one.licence, one.parts]
            for one in plan.origins
        ],
        "steps": [list(portable(use)) for use in plan.uses],
        "surveys": [use.name for use in plan.surveys],
        "ending": list(plan.ending) if plan.ending else None,
    }


def difference(old: Any, new: Any, where: str = "") -> str:
    """The first place at which two JSON values differ, in words.

    >>> difference({"steps": [["02 web.spam", 3]]}, {"steps": [["02 web.spam", 4]]})
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
    """A value in a few characters.

    >>> short("a" * 100)[-5:]
    'aaaa…'
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59].rstrip('"') + "…"
