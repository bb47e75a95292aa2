"""Checkpoints: all that a run needs to go on as if nothing had happened.

    checkpoints = Checkpoints(folder, {"model": model, "optimizer": optimizer})
    resumed = checkpoints.resume()                       # step 0 if there is nothing
    for step in saving(train(..., Plan(steps, resumed.step)), checkpoints):
        ...

A save copies what this process is to write into memory that is kept from save to save, and a thread
writes it while training goes on. It appears under its name when all processes have written their
pieces and these are on the disk; what a crash cuts short is not seen, and the last whole one stays.
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
    """When checkpoints are made, and which are kept."""

    every_seconds: float | None = Field(default=15.0, ge=0)
    """Time between checkpoints; None: by steps alone."""
    every_steps: int = Field(default=0, ge=0)
    """Steps between checkpoints, besides those by time; 0: by time alone."""
    keep: int = Field(default=2, ge=1)
    """How many stay, the newest."""
    keep_every: int = Field(default=0, ge=0)
    """Every so many steps one is made that stays for good; 0: none."""
    asynchronous: bool = True
    """Write while training goes on; false: training waits, and needs no memory for a copy."""
    staging_gigabytes: float | None = Field(default=None, ge=0)
    """Memory of each process for the copy that is written; with a larger share training waits.
    None: a quarter of the machine's."""
    limit_seconds: float = Field(default=600.0, gt=0)
    """How long a process waits for the others to have written theirs."""


class Resumed(NamedTuple):
    """What was found to go on from."""

    step: int
    """Number of steps already done."""
    contract: dict[str, Any]
    """Determinism contract of the run that saved it; empty at a fresh start."""


class Checkpoints:
    """The checkpoints of a run in a folder; on a mesh every process has one and calls it alike."""

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

        parts     name to a module, to named live tensors, or to anything with `state` and
                  `load_state`; random states are kept besides
        identity  what the run is; a checkpoint of another is refused
        chosen    choices of the run that decide its bits, such as its dtype
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
        """Let a save end; its error is raised unless another one is on its way."""
        try:
            self.wait()
        except Exception:
            if error is None:
                raise

    def wait(self) -> None:
        """Let the save that is being written end.

        Raises CapacityError if the disk is full, ArtifactError if it failed otherwise; the last
        checkpoint is whole in either case.
        """
        self.background.wait()

    close = wait

    @property
    def has_failed(self) -> bool:
        """Whether a save that ended has an error which `wait` will raise."""
        return self.background.error is not None

    def save(self, step: int, *, wait: bool = True) -> bool:
        """Save the state after so many steps.

        wait  whether to wait for the last save, if that is still being written; else nothing is
              done then, and False returned

        Raises what `wait` raises, of the last save too.
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
                record.say(f"Checkpoints are written beside training, from a copy of {memory}.")
        work = partial(self._write, step, tensors, about)
        self.background.start(work) if is_staged else work()
        return True

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """What this process writes: part, key in the file, and the tensor."""
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
        found: dict[str, dict[str, Tensor]] = {}
        for piece in self.writes[self.processes.number]:
            local, _, box = held(states[piece.part][piece.name])
            found.setdefault(piece.part, {})[piece.key] = local[piece.box.within(box)]
        return found

    def _about(self, step: int) -> dict[str, Any]:
        """What `checkpoint.json` will say, but for the files."""
        about = {"format": FORMAT, "step": step, "identity": self.identity}
        return about | {"contract": self.contract, "tensors": contents(self.writes)}

    def _is_staged(self) -> bool:
        """Whether the copy that this process would make has room, as agreed by all."""
        most = self.config.staging_gigabytes
        most_bytes = device.memory_bytes() / 4 if most is None else most * 1e9
        own = sum(piece.bytes for piece in self.writes[self.processes.number])
        return not self.processes.agree(not self.config.asynchronous or own > most_bytes)

    def _staged(self, tensors: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """The tensors copied, so that training may go on."""
        flat = {f"{part}/{key}": t for part, named in tensors.items() for key, t in named.items()}
        copies = self.staging.copy(flat)
        return {p: {key: copies[f"{p}/{key}"] for key in named} for p, named in tensors.items()}

    def _write(
        self, step: int, tensors: dict[str, dict[str, Tensor]], about: dict[str, Any]
    ) -> None:
        """Write this process's files; when all have, the first process makes them a checkpoint."""
        place, files = self.folder / f"{PARTIAL}{step:08d}", dict[str, Any]()
        trouble: Exception | None = None
        try:
            place.mkdir(parents=True, exist_ok=True)
            for part, named in tensors.items():
                name = file_name(part, self.writers.number)
                files[name] = write_tensors(place / name, named)._asdict()
            sync(place)
        except Exception as error:  # whatever it is, the others are waiting to hear of it
            trouble = error
        try:
            reports = self._all_well(step, trouble, files)
            if self.writers.is_first:
                about["files"] = {name: entry for found in reports for name, entry in found.items()}
                try:
                    self._commit(place, step, about)
                except OSError as error:
                    trouble = error
            self._all_well(step, trouble, files)
        except BaseException:
            if self.writers.is_first:
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _all_well(self, step: int, trouble: Exception | None, files: Any) -> list[Any]:
        """Every process's files; raises on all if one has trouble."""
        told = None
        if trouble is not None:
            what = getattr(trouble, "strerror", None) or f"{type(trouble).__name__}: {trouble}"
            told = {"what": what, "remedy": disk_remedy(getattr(trouble, "errno", None))}
        reports = self.writers.exchange({"trouble": told, "files": files})
        for number, report in enumerate(reports):
            if report["trouble"]:
                whole = place_of(self.folder)
                last = f"{whole.name} before it is whole" if whole else "there is none before it"
                which = f"process {number}: " if self.writers.count > 1 else ""
                remedy = report["trouble"]["remedy"]
                raise (CapacityError if remedy else ArtifactError)(
                    f"The checkpoint of step {step} could not be written to {self.folder} "
                    f"({which}{report['trouble']['what']}); {last}: "
                    f"{remedy}{' and ' if remedy else ''}run the same command again."
                )
        return [report["files"] for report in reports]

    def _commit(self, partial_place: Path, step: int, about: dict[str, Any]) -> None:
        """Let whole files appear as a checkpoint, then remove what is not to be kept."""
        write_about(partial_place / ABOUT, about)  # and makes the names beside it durable
        place = self.folder / f"step-{step:08d}"
        if place.exists():  # of a run that went back
            os.replace(place, self.folder / f"{VOID}{step:08d}")
        os.replace(partial_place, place)
        sync(self.folder)
        self._retain(step)

    def _retain(self, step: int) -> None:
        """Keep the newest and every so many; what is later belongs to a run that went back."""
        found = places(self.folder)
        earlier = [place for place in found if number_of(place) <= step]
        every = self.config.keep_every
        kept = {*earlier[-self.config.keep :]}
        kept |= {place for place in earlier if every and number_of(place) % every == 0}
        for place in found:
            if place not in kept:  # renamed first: half removed, it would look damaged
                os.replace(place, gone := self.folder / f"{GONE}{number_of(place):08d}")
                shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self.folder / f"{VOID}{step:08d}", ignore_errors=True)

    def resume(self, step: int | None = None) -> Resumed:
        """Load the newest checkpoint, or a step's, into the parts; step 0 if there is none.

        Raises ArtifactError if it is damaged, or of another model, tokenizer, objective, text or
        format: falling back in silence would change results. What else differs is told.
        """
        self.wait()
        states = {name: part.state() for name, part in self.parts.items()}
        asked = self.processes.exchange({part: [*state] for part, state in states.items()})
        place = self.processes.together(partial(self._found, step))
        name = self.processes.exchange(None if place is None else place.name)[0]
        if name is None:
            return Resumed(0, {})
        saved = self.processes.together(partial(self._loaded, self.folder / name, states, asked))
        if self.processes.is_first:
            self._tell(saved)
        return Resumed(saved.step, saved.about["contract"])

    def _found(self, step: int | None) -> Path | None:
        """The checkpoint to load, once what crashes left is cleared away."""
        if not self.processes.is_first:
            return None
        for left in (*self.folder.glob(f"{PARTIAL}*"), *self.folder.glob(f"{GONE}*")):
            shutil.rmtree(left, ignore_errors=True)
        for void in self.folder.glob(f"{VOID}*"):
            place = self.folder / f"step-{void.name.removeprefix(VOID)}"
            shutil.rmtree(void) if place.exists() else os.replace(void, place)
        return place_of(self.folder, step)

    def _loaded(
        self, place: Path, states: dict[str, dict[str, Tensor]], asked: list[dict[str, list[str]]]
    ) -> Saved:
        """Check a checkpoint and fill the parts."""
        saved = open_saved(place)
        refuse(place, saved.about["identity"], self.identity)
        names = sorted(saved.about["files"])
        check_files(saved, names[self.processes.number :: self.processes.count])
        with reading(saved) as tensors:
            for part, state in states.items():
                tensors.check(part, state)
                every = {name for each in asked for name in each.get(part, ())}
                if left := sorted(tensors.parts[part].keys() - every):
                    raise tensors.foreign(part, ", ".join(left[:3]) + " not in this one")
            for part, state in states.items():
                with torch.no_grad():
                    for name, tensor in state.items():
                        tensors.fill(part, name, tensor)
                self.parts[part].load_state(state)
            self._load_random(tensors)
        return saved

    def _load_random(self, tensors: Tensors) -> None:
        """Random states; under another number of processes they are derived from the first's."""
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
        """Say what differs from the run that saved it, and does not forbid to go on."""
        if found := changes(saved.about["identity"], self.identity):
            record.say(f"Going on with other settings than {saved.path.name}: {listed(found)}.")
        extra = [part for part in saved.about["tensors"] if part not in (*self.parts, RANDOM)]
        if extra:
            record.say(f"Of {saved.path.name} this run does not use: {', '.join(extra)}.")
        old = saved.about["contract"]
        keys = [key for key, value in self.contract.items() if old.get(key) != value]
        if keys:
            own = {key: self.contract[key] for key in keys}
            told = list(differences({key: old.get(key) for key in keys}, own))
            record.say(
                f"The checkpoint was made with another {', '.join(keys)} ({listed(told)}): going "
                "on, but the result will not be bit-equal to an undisturbed run's."
            )


def contract_of(folder: Path) -> dict[str, Any]:
    """Determinism contract of the newest checkpoint, for choices to be made alike; or empty."""
    place = place_of(folder)
    return {} if place is None else open_saved(place).about["contract"]


def refuse_unfinished(out: Path, identity: Identity, free: Collection[str] = ()) -> None:
    """Raise ArtifactError if an artifact's folder holds checkpoints of a run of other settings.

    A stage that starts there with another configuration would empty it.

    free  settings that say how it is run, and so may change: no part of the identity
    """
    scratch = out / ".scratch"
    place = place_of(scratch)
    if place is None:
        return
    old, new = open_saved(place).about["identity"], identity.plain(scratch)
    for each in (old, new):  # what they are counts, not where they lie
        each["parents"] = {one["name"]: one["id"] for one in each["parents"]}
    new = {name: value for name, value in new.items() if value}
    if found := list(differences({name: old.get(name) for name in new}, new)):
        rounds = any(each.startswith("settings.micro_batches ") for each in found)
        raise ArtifactError(
            f"{out} holds an unfinished run, at step {number_of(place)}, of other settings: "
            f"{listed(found)}. Go on with those, choose another --out, or remove {scratch}."
            + (f" Only {', '.join(free)} may change" if free else "")
            + (": micro_batches alters how sums are rounded" if free and rounds else "")
            + ("." if free else "")
        )


def piece_from(values: Any) -> Piece:
    """A piece from what JSON made of it."""
    part, name, dtype, shape, (starts, sizes), item_bytes = values
    return Piece(part, name, dtype, tuple(shape), Box(tuple(starts), tuple(sizes)), item_bytes)
