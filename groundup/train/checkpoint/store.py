"""Checkpoints: save and resume a run bit for bit.

    checkpoints = Checkpoints(folder, {"model": model, "optimizer": optimizer})
    resumed = checkpoints.resume()                       # step 0 if there is none
    for step in saving(train(..., Plan(steps, resumed.step)), checkpoints):
        ...

A save copies this process's pieces into reused staging buffers, and a thread writes them while
training continues. The checkpoint is renamed to its final name when all processes have written and
synced their pieces; after a crash, partial files are ignored and the last complete one remains.
The order of batches needs no state: it is a function of the step.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from groundup.core import (
    ArtifactError,
    CapacityError,
    Config,
    device,
    disk_remedy,
    record,
)

from ..parallel.mesh import ALONE, Mesh
from .contract import Identity, changes, determinism, differences, listed, refuse
from .parts import Part, Random, Weights
from .pieces import Box, Piece, held, pieces_of, share_out
from .processes import Processes
from .saved import (
    ABOUT,
    FORMAT,
    Saved,
    Tensors,
    check_files,
    contents,
    file_name,
    number_of,
    open_saved,
    place_of,
    places,
    reading,
    write_about,
)
from .writer import Background, Staging, sync, write_tensors

PARTIAL, VOID, GONE = ".partial-", ".void-", ".gone-"
RANDOM = "random"


class CheckpointConfig(Config):
    """When checkpoints are saved, and which are kept."""

    every_seconds: float | None = Field(default=15.0, ge=0)
    """Time between checkpoints; None: only by steps."""
    every_steps: int = Field(default=0, ge=0)
    """Steps between checkpoints, in addition to those by time; 0: only by time."""
    keep: int = Field(default=2, ge=1)
    """Number of newest checkpoints to keep."""
    keep_every: int = Field(default=0, ge=0)
    """Steps between checkpoints that are kept permanently; 0: none."""
    asynchronous: bool = True
    """Write in the background; false: training waits, and needs no staging memory."""
    staging_gigabytes: float | None = Field(default=None, ge=0)
    """Most memory per process for the staged copy; beyond it, training waits for the write.
    None: a quarter of the machine's memory."""
    limit_seconds: float = Field(default=600.0, gt=0)
    """Timeout of a process for the others' writes."""


class Resumed(NamedTuple):
    """Where a run resumes."""

    step: int
    """Number of completed steps."""
    contract: dict[str, Any]
    """Determinism contract of the run that saved it; empty at a fresh start."""


class Checkpoints:
    """The checkpoints of a run in a folder; on a mesh, all methods are collective calls."""

    def __init__(
        self,
        folder: Path | str,
        parts: Mapping[str, nn.Module | Mapping[str, Tensor] | Part],
        config: CheckpointConfig | None = None,
        *,
        mesh: Mesh = ALONE,
        identity: Identity | None = None,
        chosen: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare to save and to resume; nothing is read or written yet.

        parts     modules, named live tensors, or anything with `state` and `load_state`, by name;
                  random states are saved in addition
        identity  what identifies the run; checkpoints of another run are rejected
        chosen    choices of the run that affect bit equality, such as its dtype
        """
        self.folder, self.config = Path(folder), config or CheckpointConfig()
        self.processes = Processes(mesh, self.config.limit_seconds)
        self.writers = Processes(mesh, self.config.limit_seconds)
        self.parts: dict[str, Part] = {
            name: Weights(part) if isinstance(part, nn.Module | Mapping) else part
            for name, part in parts.items()
        }
        self.random = Random(self.processes.number)
        self.identity = (identity or Identity()).plain(self.folder)
        self.contract = determinism(mesh, self.processes.count) | dict(chosen or {})
        self.staging, self.background = Staging(), Background()
        self.holding: list[Piece] = []
        self.writes: list[list[Piece]] = []

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for a running save; raise its error unless another one is propagating."""
        try:
            self.wait()
        except Exception:
            if error is None:
                raise

    def wait(self) -> None:
        """Wait for the running save.

        Raises CapacityError if the disk is full, ArtifactError if it failed otherwise; the previous
        checkpoint stays intact.
        """
        self.background.wait()

    close = wait

    @property
    def has_failed(self) -> bool:
        """Whether a finished save failed; `wait` will raise its error."""
        return self.background.error is not None

    def save(self, step: int, *, wait: bool = True) -> bool:
        """Save the state after `step` steps; return whether it was saved.

        wait  wait for a previous save that is still running; False: then skip this one

        Raises what `wait` raises, for the previous save too.
        """
        if self.processes.agree(self.background.is_busy) and not wait:
            return False
        self.wait()
        tensors = self._tensors()
        about = self._about(step)
        is_staged = self._is_staged()
        if is_staged:
            is_first = not self.staging.bytes
            tensors = self._staged(tensors)
            if is_first and self.processes.is_first:
                memory = record.size(self.staging.bytes)
                record.say(f"Checkpoints are written in the background from a copy of {memory}.")
        work = partial(self._write, step, tensors, about)
        self.background.start(work) if is_staged else work()
        return True

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """What this process writes: tensors by part and key in the file."""
        states = {name: part.state() for name, part in self.parts.items()}
        states |= {RANDOM: self.random.state()}
        holding = [
            piece
            for part, state in states.items()
            for name, tensor in state.items()
            for piece in pieces_of(part, name, tensor)
        ]
        if self.processes.agree(holding != self.holding):
            every = self.processes.exchange(holding)
            self.holding = holding
            self.writes = share_out([list(map(piece_from, pieces)) for pieces in every])
        tensors: dict[str, dict[str, Tensor]] = {}
        for piece in self.writes[self.processes.number]:
            local, _, box = held(states[piece.part][piece.name])
            tensors.setdefault(piece.part, {})[piece.key] = local[piece.box.within(box)]
        return tensors

    def _about(self, step: int) -> dict[str, Any]:
        """The content of `checkpoint.json`, except for the files."""
        about = {"format": FORMAT, "step": step, "identity": self.identity}
        return about | {"contract": self.contract, "tensors": contents(self.writes)}

    def _is_staged(self) -> bool:
        """Whether every process has memory for a staged copy."""
        most = self.config.staging_gigabytes
        most_bytes = device.memory_bytes() / 4 if most is None else most * 1e9
        own = sum(piece.bytes for piece in self.writes[self.processes.number])
        return not self.processes.agree(not self.config.asynchronous or own > most_bytes)

    def _staged(self, tensors: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Copies of the tensors, so that training may continue."""
        flat = {f"{part}/{key}": t for part, named in tensors.items() for key, t in named.items()}
        copies = self.staging.copy(flat)
        return {p: {key: copies[f"{p}/{key}"] for key in named} for p, named in tensors.items()}

    def _write(
        self, step: int, tensors: dict[str, dict[str, Tensor]], about: dict[str, Any]
    ) -> None:
        """Write this process's files; when all have, rank 0 commits the checkpoint."""
        place, files = self.folder / f"{PARTIAL}{step:08d}", dict[str, Any]()
        failure: Exception | None = None
        try:
            place.mkdir(parents=True, exist_ok=True)
            for part, named in tensors.items():
                name = file_name(part, self.writers.number)
                files[name] = write_tensors(place / name, named)._asdict()
            sync(place)
        except Exception as error:  # any kind: the other processes wait for the report
            failure = error
        try:
            reports = self._all_well(step, failure, files)
            if self.writers.is_first:
                about["files"] = {name: entry for own in reports for name, entry in own.items()}
                try:
                    self._commit(place, step, about)
                except OSError as error:
                    failure = error
            self._all_well(step, failure, files)
        except BaseException:
            if self.writers.is_first:
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _all_well(self, step: int, failure: Exception | None, files: Any) -> list[Any]:
        """Every process's files; raises on all processes if one failed."""
        problem = None
        if failure is not None:
            what = getattr(failure, "strerror", None) or f"{type(failure).__name__}: {failure}"
            problem = {"what": what, "remedy": disk_remedy(getattr(failure, "errno", None))}
        reports = self.writers.exchange({"trouble": problem, "files": files})
        for number, report in enumerate(reports):
            if report["trouble"]:
                previous = place_of(self.folder)
                last = f"{previous.name} is intact" if previous else "there is no earlier one"
                which = f"process {number}: " if self.writers.count > 1 else ""
                remedy = report["trouble"]["remedy"]
                raise (CapacityError if remedy else ArtifactError)(
                    f"The checkpoint of step {step} could not be written to {self.folder} "
                    f"({which}{report['trouble']['what']}); {last}: "
                    f"{remedy}{' and ' if remedy else ''}run the same command again."
                )
        return [report["files"] for report in reports]

    def _commit(self, partial_place: Path, step: int, about: dict[str, Any]) -> None:
        """Rename complete files to a checkpoint, then delete checkpoints beyond retention."""
        write_about(partial_place / ABOUT, about)  # also syncs the folder's entries
        place = self.folder / f"step-{step:08d}"
        if place.exists():  # of a run that was rewound
            os.replace(place, self.folder / f"{VOID}{step:08d}")
        os.replace(partial_place, place)
        sync(self.folder)
        self._retain(step)

    def _retain(self, step: int) -> None:
        """Delete all but the newest and permanent ones; later ones are of a rewound run."""
        paths = places(self.folder)
        earlier = [path for path in paths if number_of(path) <= step]
        every = self.config.keep_every
        retained = {*earlier[-self.config.keep :]}
        retained |= {path for path in earlier if every and number_of(path) % every == 0}
        for path in paths:
            if path not in retained:  # renamed first: half deleted, it would look damaged
                os.replace(path, deleting := self.folder / f"{GONE}{number_of(path):08d}")
                shutil.rmtree(deleting, ignore_errors=True)
        shutil.rmtree(self.folder / f"{VOID}{step:08d}", ignore_errors=True)

    def resume(self, step: int | None = None) -> Resumed:
        """Load the newest checkpoint, or the one of a step, into the parts; step 0 if none.

        Raises ArtifactError if it is damaged, or of another model, tokenizer, objective, text or
        format: a silent fallback would change results. Other differences are logged.
        """
        self.wait()
        states = {name: part.state() for name, part in self.parts.items()}
        names = self.processes.exchange({part: [*state] for part, state in states.items()})
        place = self.processes.together(partial(self._found, step))
        name = self.processes.exchange(None if place is None else place.name)[0]
        if name is None:
            return Resumed(0, {})
        saved = self.processes.together(partial(self._loaded, self.folder / name, states, names))
        if self.processes.is_first:
            self._tell(saved)
        return Resumed(saved.step, saved.about["contract"])

    def _found(self, step: int | None) -> Path | None:
        """Clean up after crashes and return the checkpoint to load."""
        if not self.processes.is_first:
            return None
        for leftover in (*self.folder.glob(f"{PARTIAL}*"), *self.folder.glob(f"{GONE}*")):
            shutil.rmtree(leftover, ignore_errors=True)
        for superseded in self.folder.glob(f"{VOID}*"):
            place = self.folder / f"step-{superseded.name.removeprefix(VOID)}"
            shutil.rmtree(superseded) if place.exists() else os.replace(superseded, place)
        return place_of(self.folder, step)

    def _loaded(
        self, place: Path, states: dict[str, dict[str, Tensor]], names: list[dict[str, list[str]]]
    ) -> Saved:
        """Verify a checkpoint and load the parts; `names` are the tensors of every process."""
        saved = open_saved(place)
        refuse(place, saved.about["identity"], self.identity)
        files = sorted(saved.about["files"])
        check_files(saved, files[self.processes.number :: self.processes.count])
        with reading(saved) as tensors:
            for part, state in states.items():
                tensors.check(part, state)
                every = {name for own in names for name in own.get(part, ())}
                if unused := sorted(tensors.parts[part].keys() - every):
                    raise tensors.foreign(part, ", ".join(unused[:3]) + " not in this one")
            for part, state in states.items():
                with torch.no_grad():
                    for name, tensor in state.items():
                        tensors.fill(part, name, tensor)
                self.parts[part].load_state(state)
            self._load_random(tensors)
        return saved

    def _load_random(self, tensors: Tensors) -> None:
        """Restore random states; with another number of processes, derive them from rank 0's."""
        own = self.random.state()
        if own.keys() <= tensors.parts[RANDOM].keys() and self._count(tensors.saved) == (
            self.processes.count
        ):
            self.random.load_state({name: tensors.whole(RANDOM, name) for name in own})
        else:
            self.random.begin_anew(tensors.whole(RANDOM, "00000.torch"))

    def _count(self, saved: Saved) -> int:
        return saved.about["contract"]["processes"]

    def _tell(self, saved: Saved) -> None:
        """Log differences from the run that saved it which do not prevent resuming."""
        if found := changes(saved.about["identity"], self.identity):
            record.say(f"Resuming {saved.path.name} with changed settings: {listed(found)}.")
        extra = [part for part in saved.about["tensors"] if part not in (*self.parts, RANDOM)]
        if extra:
            record.say(f"Unused parts of {saved.path.name}: {', '.join(extra)}.")
        old = saved.about["contract"]
        keys = [key for key, value in self.contract.items() if old.get(key) != value]
        if keys:
            own = {key: self.contract[key] for key in keys}
            found = list(differences({key: old.get(key) for key in keys}, own))
            record.say(
                f"The checkpoint was saved with another {', '.join(keys)} ({listed(found)}): the "
                "result will not be bit-equal to an uninterrupted run's."
            )


def contract_of(folder: Path) -> dict[str, Any]:
    """Determinism contract of the newest checkpoint; empty if there is none."""
    place = place_of(folder)
    return {} if place is None else open_saved(place).about["contract"]


def refuse_unfinished(out: Path, identity: Identity, free: Collection[str] = ()) -> None:
    """Raise ArtifactError if a folder has checkpoints of a run with other settings.

    A stage that starts there with another configuration would delete them.

    free  runtime settings that may change, which are not part of the identity
    """
    scratch = out / ".scratch"
    place = place_of(scratch)
    if place is None:
        return
    old, new = open_saved(place).about["identity"], identity.plain(scratch)
    for each in (old, new):  # ids of parents are compared, not their paths
        each["parents"] = {parent["name"]: parent["id"] for parent in each["parents"]}
    new = {name: value for name, value in new.items() if value}
    if found := list(differences({name: old.get(name) for name in new}, new)):
        changes_rounding = any(each.startswith("settings.micro_batches ") for each in found)
        raise ArtifactError(
            f"{out} holds an unfinished run, at step {number_of(place)}, with other settings: "
            f"{listed(found)}. Resume with those, choose another --out, or remove {scratch}."
            + (f" Only {', '.join(free)} may change" if free else "")
            + (": micro_batches changes rounding" if free and changes_rounding else "")
            + ("." if free else "")
        )


def piece_from(values: Any) -> Piece:
    """A piece from its JSON value."""
    part, name, dtype, shape, (starts, sizes), item_bytes = values
    return Piece(part, name, dtype, tuple(shape), Box(tuple(starts), tuple(sizes)), item_bytes)
