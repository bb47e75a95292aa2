"""Verbs: what checkpoints a run has, and a model made of one, while the run goes on.

A run that saves takes old checkpoints away; whoever reads one opens its files first, which then
stay readable, and asks for the newest again if they were gone already. Nothing is locked.
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

from .saved import (
    ABOUT,
    Saved,
    Tensors,
    check_files,
    number_of,
    open_saved,
    place_of,
    places,
    reading,
)

ATTEMPTS = 5
PREFIXES = ("", "model.", "average.", "average.model.")
"""What may stand before the names of weights: of a model under a head, of a running mean."""


class ExportConfig(Config):
    """Which weights of which checkpoint."""

    step: int | None = None
    """Step of the checkpoint; None: the newest."""
    weights: str = "model"
    """Part that holds the weights: `model`, or the name of their running mean."""
    source_digest: str = ""
    """Hash of the checkpoint; filled in."""


class Listed(NamedTuple):
    """One checkpoint, as a list shows it."""

    step: int
    bytes: int
    age_seconds: float
    processes: int
    mesh: dict[str, int]
    parts: tuple[str, ...]
    trouble: str
    """What is wrong with it; empty if nothing is."""

    def __str__(self) -> str:
        """In one line."""
        mesh = ",".join(f"{name}={size}" for name, size in self.mesh.items()) or "one process"
        size, parts = record.size(self.bytes), ", ".join(self.parts)
        found = f"step {self.step:>8}  {size:>9}  {mesh}  {parts}"
        return f"{found}  {record.duration(self.age_seconds)} old" + (
            f"\n  {self.trouble}" if self.trouble else ""
        )


class Listing(NamedTuple):
    """The checkpoints of a run, the newest last."""

    checkpoints: tuple[Listed, ...]

    def __str__(self) -> str:
        """A line each."""
        return "\n".join(map(str, self.checkpoints))


def list_checkpoints(run: Path, *, check: bool = False) -> Listing:
    """Tell which checkpoints a run has.

    run    directory that a training stage writes to, or a folder of checkpoints
    check  compare every file with the hash that was recorded

    Raises ArtifactError if there is none, and with `check` if one is damaged.
    """
    folder, found = folder_of(run), []
    for place in places(folder):
        try:
            found.append(listed(place, check))
        except FileNotFoundError:
            continue  # the run took it away meanwhile
    listing, bad = Listing(tuple(found)), sum(1 for each in found if each.trouble)
    if check and bad:
        error = ArtifactError(f"{bad} of {len(found)} checkpoints in {folder} cannot be used.")
        error.add_note(str(listing))
        raise error
    return listing


def listed(place: Path, check: bool) -> Listed:
    """One checkpoint of a list."""
    age = time.time() - place.stat().st_mtime
    try:
        saved = open_saved(place)
        check_files(saved, hashes=check)
    except ArtifactError as error:
        return Listed(number_of(place), 0, age, 0, {}, (), str(error))
    contract, parts = saved.about["contract"], tuple(sorted(saved.about["tensors"]))
    return Listed(saved.step, saved.bytes, age, contract["processes"], contract["mesh"], parts, "")


def export_checkpoint(config: ExportConfig, run: Path, out: Path) -> Artifact:
    """Make a model of a run's checkpoint; the run may go on meanwhile.

    run  directory that a training stage writes to, or a folder of checkpoints

    Raises ArtifactError if the run is complete, has no such checkpoint, or its inputs are no longer
    where they were; ConfigError if the checkpoint has no such weights.
    """
    folder = folder_of(run)
    for _ in range(ATTEMPTS):
        try:
            saved = open_saved(found(folder, config.step))
            source = hash_file(saved.path / ABOUT)
            if config.weights not in saved.about["tensors"]:
                raise ConfigError(
                    f"weights={config.weights!r} are not in {saved.path}; it has "
                    f"{', '.join(sorted(saved.about['tensors']))}."
                )
            with reading(saved, [config.weights]) as tensors:
                names = tensors.files
                check_files(saved, names)
                filled = config.model_copy(update={"step": saved.step, "source_digest": source})
                return exported(filled, saved, tensors, Path(out))
        except FileNotFoundError:
            continue
    raise ArtifactError(
        f"{folder} took each checkpoint away while it was read; let the run keep more of them "
        "(keep), or name a step that stays."
    )


def exported(config: ExportConfig, saved: Saved, tensors: Tensors, out: Path) -> Artifact:
    """The model as an artifact with the run's own inputs as parents."""
    identity = saved.about["identity"]
    parents = {entry["name"]: opened(saved, entry) for entry in identity["parents"]}
    if not identity["model"] or "tokenizer" not in parents:
        raise ArtifactError(
            f"{saved.path} does not say of what model and tokenizer it is; only runs that give "
            "Checkpoints an identity can be exported."
        )
    return produce(
        out, kind="model", stage="checkpoint", version=1, config=config, parents=parents,
        write=lambda draft: write_model(draft, config, tensors, parents),
    )  # fmt: skip


def write_model(
    draft: Draft, config: ExportConfig, tensors: Tensors, parents: Mapping[str, Artifact]
) -> None:
    """Put the weights into a model and save it; the body of the stage."""
    model = assembled(tensors, config.weights)
    save(model, draft.path, parents.get("base", parents["tokenizer"]).path)
    saved = tensors.saved
    kept = {name: saved.about[name] for name in ("step", "identity", "contract")}
    write_json(draft.log / ABOUT, kept)
    draft.numbers |= {"step": saved.step, "weights": config.weights, "run": str(saved.path.parent)}
    draft.numbers |= {"parameters": sum(weight.numel() for weight in model.parameters())}


def trained_model(folder: Path, weights: str) -> Transformer:
    """The model of a run's newest checkpoint, from the weights of one of its parts."""
    place = place_of(folder, None)
    assert place is not None, "a run ends with a checkpoint"
    with reading(open_saved(place), [weights]) as tensors:
        return assembled(tensors, weights)


def assembled(tensors: Tensors, weights: str) -> Transformer:
    """A model of a checkpoint's weights.

    Raises ArtifactError if they are of another one.
    """
    saved = tensors.saved
    model = Transformer(ModelConfig(**saved.about["identity"]["model"]), seed=None)
    own, there = model.state_dict(), tensors.parts[weights]
    fitting = [prefix for prefix in PREFIXES if all(f"{prefix}{n}" in there for n in own)]
    if not fitting:
        missing = next(name for name in own if name not in there)
        raise ArtifactError(f"{weights!r} of {saved.path} lacks {missing} of the model.")
    state = {name: tensors.whole(weights, f"{fitting[0]}{name}") for name in own}
    model.load_state_dict(state, assign=True)
    return model.eval()


def opened(saved: Saved, entry: Mapping[str, Any]) -> Artifact:
    """An input of the run, from where it was; ArtifactError if it is another one now."""
    place = (saved.path.parent / entry["path"]).resolve()
    artifact = Artifact.open(place)
    if artifact.id != entry["id"]:
        raise ArtifactError(
            f"The run of {saved.path} was made of {entry['name']} {entry['id'][:12]}, and {place} "
            f"is {artifact.id[:12]} now; bring the old one back."
        )
    return artifact


def folder_of(run: Path) -> Path:
    """Where a run's checkpoints lie."""
    run = Path(run)
    for folder in (run / ".scratch", run):
        if places(folder):
            return folder
    check_kind(run, "model")
    if (run / MANIFEST).is_file():
        raise ArtifactError(f"{run} is complete: its model is in it, and checkpoints are gone.")
    raise ArtifactError(f"{run} has no checkpoint yet; expected step-… in it or in its .scratch.")


def found(folder: Path, step: int | None) -> Path:
    """The checkpoint that is asked for."""
    place = place_of(folder, step)
    if place is None:
        raise FileNotFoundError(folder)
    return place
