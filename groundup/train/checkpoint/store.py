"""Checkpoints: save and resume a run bit for bit.

    checkpoints = Checkpoints(folder, {"model": model, "optimizer": optimizer})
    resumed = checkpoints.resume()                       # step 0 if there is none
    for step in save_checkpoints(train(..., LoopOptions(steps, resumed.step)), checkpoints):
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
    fsync_path,
    record,
)

from ..parallel.mesh import SINGLE_PROCESS, Mesh
from .contract import (
    RunIdentity,
    check_same_run,
    describe_differences,
    determinism_contract,
    format_differences,
)
from .files import (
    DELETING_PREFIX,
    FORMAT,
    METADATA_FILE,
    CheckpointTensors,
    SavedCheckpoint,
    check_files,
    checkpoint_paths,
    delete_checkpoint,
    file_name,
    find_checkpoint,
    open_checkpoint,
    open_tensors,
    step_of_path,
    tensor_index,
    write_metadata,
    write_tensors,
)
from .shards import (
    Bounds,
    RandomState,
    Stateful,
    TensorShard,
    TensorState,
    assign_writers,
    local_shard,
    tensor_shards,
)
from .writing import BackgroundTask, Coordinator, StagingBuffers

PARTIAL_PREFIX, SUPERSEDED_PREFIX = ".partial-", ".void-"
RANDOM_PART = "random"


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


class ResumePoint(NamedTuple):
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
        parts: Mapping[str, nn.Module | Mapping[str, Tensor] | Stateful],
        config: CheckpointConfig | None = None,
        *,
        mesh: Mesh = SINGLE_PROCESS,
        identity: RunIdentity | None = None,
        chosen: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare to save and to resume; nothing is read or written yet.

        parts     modules, named live tensors, or anything with `state` and `load_state`, by name;
                  random states are saved in addition
        identity  what identifies the run; checkpoints of another run are rejected
        chosen    choices of the run that affect bit equality, such as its dtype
        """
        self.folder, self.config = Path(folder), config or CheckpointConfig()
        self.processes = Coordinator(mesh, self.config.limit_seconds)
        self.writers = Coordinator(mesh, self.config.limit_seconds)
        self.parts: dict[str, Stateful] = {
            name: TensorState(part) if isinstance(part, nn.Module | Mapping) else part
            for name, part in parts.items()
        }
        self.random = RandomState(self.processes.rank)
        self.identity = (identity or RunIdentity()).to_json(self.folder)
        self.contract = determinism_contract(mesh, self.processes.world_size) | dict(chosen or {})
        self.staging, self.background = StagingBuffers(), BackgroundTask()
        self.local_shards: list[TensorShard] = []
        self.assigned_shards: list[list[TensorShard]] = []

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
        if self.processes.max_over_processes(self.background.is_busy) and not wait:
            return False
        self.wait()
        tensors = self._tensors_to_write()
        about = {"format": FORMAT, "step": step, "identity": self.identity}
        about |= {"contract": self.contract, "tensors": tensor_index(self.assigned_shards)}
        is_staged = self._can_stage()
        if is_staged:
            is_first = not self.staging.bytes
            tensors = self._stage(tensors)
            if is_first and self.processes.is_first:
                memory = record.format_bytes(self.staging.bytes)
                record.log(f"Checkpoints are written in the background from a copy of {memory}.")
        work = partial(self._write, step, tensors, about)
        self.background.start(work) if is_staged else work()
        return True

    def _tensors_to_write(self) -> dict[str, dict[str, Tensor]]:
        """What this process writes: tensors by part and key in the file."""
        states = {name: part.state() for name, part in self.parts.items()}
        states |= {RANDOM_PART: self.random.state()}
        holding = [
            piece
            for part, state in states.items()
            for name, tensor in state.items()
            for piece in tensor_shards(part, name, tensor)
        ]
        if self.processes.max_over_processes(holding != self.local_shards):
            every = self.processes.all_gather_json(holding)
            self.local_shards = holding
            self.assigned_shards = assign_writers(
                [list(map(_shard_from_json, pieces)) for pieces in every]
            )
        tensors: dict[str, dict[str, Tensor]] = {}
        for piece in self.assigned_shards[self.processes.rank]:
            local, _, box = local_shard(states[piece.part][piece.name])
            tensors.setdefault(piece.part, {})[piece.key] = local[piece.box.within(box)]
        return tensors

    def _can_stage(self) -> bool:
        """Whether every process has memory for a staged copy."""
        most = self.config.staging_gigabytes
        most_bytes = device.total_memory_bytes() / 4 if most is None else most * 1e9
        own = sum(piece.bytes for piece in self.assigned_shards[self.processes.rank])
        return not self.processes.max_over_processes(
            not self.config.asynchronous or own > most_bytes
        )

    def _stage(self, tensors: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Copies of the tensors, so that training may continue."""
        flat = {f"{part}/{key}": t for part, named in tensors.items() for key, t in named.items()}
        copies = self.staging.copy(flat)
        return {p: {key: copies[f"{p}/{key}"] for key in named} for p, named in tensors.items()}

    def _write(
        self, step: int, tensors: dict[str, dict[str, Tensor]], about: dict[str, Any]
    ) -> None:
        """Write this process's files; when all have, rank 0 commits the checkpoint."""
        place, files = self.folder / f"{PARTIAL_PREFIX}{step:08d}", dict[str, Any]()
        failure: Exception | None = None
        try:
            place.mkdir(parents=True, exist_ok=True)
            for part, named in tensors.items():
                name = file_name(part, self.writers.rank)
                files[name] = write_tensors(place / name, named)
            fsync_path(place)
        except Exception as error:  # any kind: the other processes wait for the report
            failure = error
        try:
            reports = self._exchange_reports(step, failure, files)
            if self.writers.is_first:
                about["files"] = {name: entry for own in reports for name, entry in own.items()}
                try:
                    self._commit(place, step, about)
                except OSError as error:
                    failure = error
            self._exchange_reports(step, failure, files)
        except BaseException:
            if self.writers.is_first:
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _exchange_reports(self, step: int, failure: Exception | None, files: Any) -> list[Any]:
        """Every process's files; raises on all processes if one failed."""
        problem = None
        if failure is not None:
            what = getattr(failure, "strerror", None) or f"{type(failure).__name__}: {failure}"
            problem = {"what": what, "remedy": disk_remedy(getattr(failure, "errno", None))}
        reports = self.writers.all_gather_json({"trouble": problem, "files": files})
        for number, report in enumerate(reports):
            if report["trouble"]:
                previous = find_checkpoint(self.folder)
                last = f"{previous.name} is intact" if previous else "there is no earlier one"
                which = f"process {number}: " if self.writers.world_size > 1 else ""
                remedy = report["trouble"]["remedy"]
                raise (CapacityError if remedy else ArtifactError)(
                    f"The checkpoint of step {step} could not be written to {self.folder} "
                    f"({which}{report['trouble']['what']}); {last}: "
                    f"{remedy}{' and ' if remedy else ''}run the same command again."
                )
        return [report["files"] for report in reports]

    def _commit(self, partial_place: Path, step: int, about: dict[str, Any]) -> None:
        write_metadata(partial_place / METADATA_FILE, about)  # also syncs the folder's entries
        place = self.folder / f"step-{step:08d}"
        if place.exists():  # of a run that was rewound
            os.replace(place, self.folder / f"{SUPERSEDED_PREFIX}{step:08d}")
        os.replace(partial_place, place)
        fsync_path(self.folder)
        self._delete_old(step)

    def _delete_old(self, step: int) -> None:
        """Delete all but the newest and permanent ones; later ones are of a rewound run."""
        paths = checkpoint_paths(self.folder)
        earlier = [path for path in paths if step_of_path(path) <= step]
        every = self.config.keep_every
        retained = {*earlier[-self.config.keep :]}
        retained |= {path for path in earlier if every and step_of_path(path) % every == 0}
        for path in paths:
            if path not in retained:
                delete_checkpoint(path)
        shutil.rmtree(self.folder / f"{SUPERSEDED_PREFIX}{step:08d}", ignore_errors=True)

    def resume(self, step: int | None = None) -> ResumePoint:
        """Load the newest checkpoint, or the one of a step, into the parts; step 0 if none.

        Raises ArtifactError if it is damaged, or of another model, tokenizer, objective, text or
        format: a silent fallback would change results. Other differences are logged.
        """
        self.wait()
        states = {name: part.state() for name, part in self.parts.items()}
        names = self.processes.all_gather_json({part: [*state] for part, state in states.items()})
        place = self.processes.run_on_all(partial(self._prepare_resume, step))
        name = self.processes.all_gather_json(None if place is None else place.name)[0]
        if name is None:
            return ResumePoint(0, {})
        saved = self.processes.run_on_all(partial(self._load, self.folder / name, states, names))
        if self.processes.is_first:
            self._log_differences(saved)
        return ResumePoint(saved.step, saved.metadata["contract"])

    def _prepare_resume(self, step: int | None) -> Path | None:
        """Clean up after crashes and return the checkpoint to load; on the first process alone.

        Checkpoints that another was about to supersede are put back. None on other processes.
        """
        if not self.processes.is_first:
            return None
        for prefix in (PARTIAL_PREFIX, DELETING_PREFIX):
            for leftover in self.folder.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        for superseded in self.folder.glob(f"{SUPERSEDED_PREFIX}*"):
            place = self.folder / f"step-{superseded.name.removeprefix(SUPERSEDED_PREFIX)}"
            shutil.rmtree(superseded) if place.exists() else os.replace(superseded, place)
        return find_checkpoint(self.folder, step)

    def _load(
        self, place: Path, states: dict[str, dict[str, Tensor]], names: list[dict[str, list[str]]]
    ) -> SavedCheckpoint:
        """Verify a checkpoint and load the parts; `names` are the tensors of every process."""
        saved = open_checkpoint(place)
        check_same_run(place, saved.metadata["identity"], self.identity)
        files = sorted(saved.metadata["files"])
        check_files(saved, files[self.processes.rank :: self.processes.world_size])
        with open_tensors(saved) as tensors:
            for part, state in states.items():
                tensors.check(part, state)
                every = {name for own in names for name in own.get(part, ())}
                if unused := sorted(tensors.parts[part].keys() - every):
                    raise tensors.mismatch_error(part, ", ".join(unused[:3]) + " not in this one")
            for part, state in states.items():
                with torch.no_grad():
                    for name, tensor in state.items():
                        tensors.read_into(part, name, tensor)
                self.parts[part].load_state(state)
            self._load_random(tensors)
        return saved

    def _load_random(self, tensors: CheckpointTensors) -> None:
        own = self.random.state()
        count = tensors.saved.metadata["contract"]["processes"]
        if count == self.processes.world_size and own.keys() <= tensors.parts[RANDOM_PART].keys():
            self.random.load_state({name: tensors.read_full(RANDOM_PART, name) for name in own})
        else:
            self.random.seed_from(tensors.read_full(RANDOM_PART, "00000.torch"))

    def _log_differences(self, saved: SavedCheckpoint) -> None:
        """Log differences from the run that saved it which do not prevent resuming."""
        before = saved.metadata["identity"].get("settings") or {}
        if found := list(describe_differences(before, self.identity["settings"])):
            record.log(
                f"Resuming {saved.path.name} with changed settings: {format_differences(found)}."
            )
        if extra := sorted(saved.metadata["tensors"].keys() - {*self.parts, RANDOM_PART}):
            record.log(f"Unused parts of {saved.path.name}: {', '.join(extra)}.")
        old = saved.metadata["contract"]
        keys = [key for key, value in self.contract.items() if old.get(key) != value]
        if keys:
            own = {key: self.contract[key] for key in keys}
            found = list(describe_differences({key: old.get(key) for key in keys}, own))
            record.log(
                f"The checkpoint was saved with another {', '.join(keys)} "
                f"({format_differences(found)}): the result will not be bit-equal to an "
                "uninterrupted run's."
            )


def latest_contract(folder: Path) -> dict[str, Any]:
    """Determinism contract of the newest checkpoint; empty if there is none."""
    place = find_checkpoint(folder)
    return {} if place is None else open_checkpoint(place).metadata["contract"]


def check_unfinished_run(out: Path, identity: RunIdentity, free: Collection[str] = ()) -> None:
    """Raise ArtifactError if a folder has checkpoints of a run with other settings.

    A stage that starts there with another configuration would delete them.

    free  runtime settings that may change, which are not part of the identity
    """
    scratch = out / ".scratch"
    place = find_checkpoint(scratch)
    if place is None:
        return
    old, new = open_checkpoint(place).metadata["identity"], identity.to_json(scratch)
    for each in (old, new):  # ids of parents are compared, not their paths
        each["parents"] = {parent["name"]: parent["id"] for parent in each["parents"]}
    new = {name: value for name, value in new.items() if value}
    if found := list(describe_differences({name: old.get(name) for name in new}, new)):
        changes_rounding = any(each.startswith("settings.micro_batches ") for each in found)
        raise ArtifactError(
            f"{out} holds an unfinished run, at step {step_of_path(place)}, with other settings: "
            f"{format_differences(found)}. Resume with those, choose another --out, or remove "
            f"{scratch}."
            + (f" Only {', '.join(free)} may change" if free else "")
            + (": micro_batches changes rounding" if free and changes_rounding else "")
            + ("." if free else "")
        )


def _shard_from_json(values: Any) -> TensorShard:
    part, name, dtype, shape, box, item_bytes = values
    return TensorShard(part, name, dtype, tuple(shape), Bounds(*map(tuple, box)), item_bytes)
