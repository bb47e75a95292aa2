"""Command-line verbs: list a run's checkpoints and export one as a model, while the run continues.

A running run deletes old checkpoints. A reader first opens the files, which then stay readable, and
retries with the newest checkpoint if they were already deleted. Nothing is locked.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Draft,
    check_kind,
    hash_file,
    produce,
    record,
    write_json,
)
from groundup.model import ModelConfig, Transformer, save

from .files import (
    METADATA_FILE,
    CheckpointTensors,
    SavedCheckpoint,
    check_files,
    checkpoint_paths,
    find_checkpoint,
    open_checkpoint,
    open_tensors,
    step_of_path,
)

MAX_ATTEMPTS = 5
WEIGHT_PREFIXES = ("", "model.", "average.", "average.model.")
"""Prefixes of weight names: of a model under a head, of a weight average."""


class ExportConfig(Config):
    """Which weights of which checkpoint."""

    step: int | None = None
    """Step of the checkpoint; None: the newest."""
    weights: str = "model"
    """Part with the weights: `model`, or `average` for their moving average."""
    source_digest: str = ""
    """Hash of the checkpoint; filled in automatically."""


class CheckpointInfo(NamedTuple):
    """One checkpoint of a list."""

    step: int
    bytes: int
    age_seconds: float
    processes: int
    mesh: dict[str, int]
    parts: tuple[str, ...]
    trouble: str
    """What is wrong with it; empty if nothing is."""

    def __str__(self) -> str:
        mesh = ",".join(f"{name}={size}" for name, size in self.mesh.items()) or "one process"
        size, parts = record.format_bytes(self.bytes), ", ".join(self.parts)
        line = f"step {self.step:>8}  {size:>9}  {mesh}  {parts}"
        return f"{line}  {record.format_duration(self.age_seconds)} old" + (
            f"\n  {self.trouble}" if self.trouble else ""
        )


class CheckpointList(NamedTuple):
    """The checkpoints of a run, the newest last."""

    checkpoints: tuple[CheckpointInfo, ...]

    def __str__(self) -> str:
        """One line each."""
        return "\n".join(map(str, self.checkpoints))


def list_checkpoints(run: Path, *, check: bool = False) -> CheckpointList:
    """List a run's checkpoints.

    run    directory that a training stage writes to, or a folder of checkpoints
    check  check every file against its recorded hash

    Raises ArtifactError if there is none, and with `check` if one is damaged.
    """
    folder, rows = _checkpoint_folder(run), []
    for place in checkpoint_paths(folder):
        try:
            rows.append(_checkpoint_info(place, check))
        except FileNotFoundError:
            continue  # the run deleted it meanwhile
    listing, bad = CheckpointList(tuple(rows)), sum(1 for row in rows if row.trouble)
    if check and bad:
        error = ArtifactError(f"{bad} of {len(rows)} checkpoints in {folder} cannot be used.")
        error.add_note(str(listing))
        raise error
    return listing


def _checkpoint_info(place: Path, check: bool) -> CheckpointInfo:
    age = time.time() - place.stat().st_mtime
    try:
        saved = open_checkpoint(place)
        check_files(saved, hashes=check)
    except ArtifactError as error:
        return CheckpointInfo(step_of_path(place), 0, age, 0, {}, (), str(error))
    contract, parts = saved.metadata["contract"], tuple(sorted(saved.metadata["tensors"]))
    return CheckpointInfo(
        saved.step, saved.bytes, age, contract["processes"], contract["mesh"], parts, ""
    )


def export_checkpoint(config: ExportConfig, run: Path, out: Path) -> Artifact:
    """Export a run's checkpoint as a model; the run may continue meanwhile.

    run  directory that a training stage writes to, or a folder of checkpoints

    Raises ArtifactError if the run is complete, has no such checkpoint, or its inputs have moved;
    ConfigError if the checkpoint has no such weights.
    """
    folder = _checkpoint_folder(run)
    for _ in range(MAX_ATTEMPTS):
        try:
            saved = open_checkpoint(_require_checkpoint(folder, config.step))
            source = hash_file(saved.path / METADATA_FILE)
            if config.weights not in saved.metadata["tensors"]:
                raise ConfigError(
                    f"weights={config.weights!r} are not in {saved.path}; it has "
                    f"{', '.join(sorted(saved.metadata['tensors']))}."
                )
            with open_tensors(saved, [config.weights]) as tensors:
                names = tensors.files
                check_files(saved, names)
                filled = config.model_copy(update={"step": saved.step, "source_digest": source})
                return _export_model(filled, saved, tensors, Path(out))
        except FileNotFoundError:
            continue
    raise ArtifactError(
        f"Each checkpoint in {folder} was deleted while it was read; let the run keep more of them "
        "(keep), or choose a permanent step."
    )


def _export_model(
    config: ExportConfig, saved: SavedCheckpoint, tensors: CheckpointTensors, out: Path
) -> Artifact:
    """The model as an artifact with the run's own inputs as parents."""
    identity = saved.metadata["identity"]
    parents = {entry["name"]: _open_run_input(saved, entry) for entry in identity["parents"]}
    if not identity["model"] or "tokenizer" not in parents:
        raise ArtifactError(
            f"{saved.path} has no model and tokenizer identity; only runs that pass an identity to "
            "Checkpoints can be exported."
        )
    return produce(
        out, kind="model", stage="checkpoint", version=1, config=config, parents=parents,
        write=lambda draft: _write_exported_model(draft, config, tensors, parents),
    )  # fmt: skip


def _write_exported_model(
    draft: Draft, config: ExportConfig, tensors: CheckpointTensors, parents: Mapping[str, Artifact]
) -> None:
    model = _assemble_model(tensors, config.weights)
    save(model, draft.path, parents.get("base", parents["tokenizer"]).path)
    saved = tensors.saved
    metadata = {name: saved.metadata[name] for name in ("step", "identity", "contract")}
    write_json(draft.log / METADATA_FILE, metadata)
    draft.numbers |= {"step": saved.step, "weights": config.weights, "run": str(saved.path.parent)}
    draft.numbers |= {"parameters": sum(weight.numel() for weight in model.parameters())}


def load_trained_model(folder: Path, weights: str) -> Transformer:
    """The model of a run's newest checkpoint, with the weights of one of its parts."""
    place = find_checkpoint(folder, None)
    assert place is not None, "a run ends with a checkpoint"
    with open_tensors(open_checkpoint(place), [weights]) as tensors:
        return _assemble_model(tensors, weights)


def _assemble_model(tensors: CheckpointTensors, weights: str) -> Transformer:
    """Build the model of a checkpoint; ArtifactError if weights are missing."""
    saved = tensors.saved
    model = Transformer(ModelConfig(**saved.metadata["identity"]["model"]), seed=None)
    own, stored = model.state_dict(), tensors.parts[weights]
    fitting = [prefix for prefix in WEIGHT_PREFIXES if all(f"{prefix}{n}" in stored for n in own)]
    if not fitting:
        missing = next(name for name in own if name not in stored)
        raise ArtifactError(f"{weights!r} of {saved.path} lacks {missing} of the model.")
    state = {name: tensors.read_full(weights, f"{fitting[0]}{name}") for name in own}
    model.load_state_dict(state, assign=True)
    return model.eval()


def _open_run_input(saved: SavedCheckpoint, entry: Mapping[str, Any]) -> Artifact:
    place = (saved.path.parent / entry["path"]).resolve()
    artifact = Artifact.open(place)
    if artifact.id != entry["id"]:
        raise ArtifactError(
            f"The run of {saved.path} used {entry['name']} {entry['id'][:12]}, but {place} is now "
            f"{artifact.id[:12]}; restore the old one."
        )
    return artifact


def _checkpoint_folder(run: Path) -> Path:
    run = Path(run)
    for folder in (run / ".scratch", run):
        if checkpoint_paths(folder):
            return folder
    check_kind(run, "model")
    if (run / MANIFEST).is_file():
        raise ArtifactError(f"{run} is complete: it has its model, and checkpoints were deleted.")
    raise ArtifactError(f"{run} has no checkpoint yet; expected step-… in it or in its .scratch.")


def _require_checkpoint(folder: Path, step: int | None) -> Path:
    place = find_checkpoint(folder, step)
    if place is None:
        raise FileNotFoundError(folder)
    return place
