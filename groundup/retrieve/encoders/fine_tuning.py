"""What the training of encoders and of readers shares: a base, documents, one process, one run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from groundup.core import MANIFEST, Artifact, ConfigError, Draft, digest, hash_file
from groundup.documents import ReadConfig, artifact_kind, fingerprint_folder
from groundup.model import ModelWithHead
from groundup.train import (
    DEFAULT_OPTIONS,
    Mesh,
    OptimConfig,
    RunIdentity,
    TrainingConfig,
    TrainingRun,
    TrainingTask,
    is_imported,
    merge_optim,
    produce_model,
)

IMPORTED_OPTIM, NATIVE_OPTIM = (
    OptimConfig(matrix_optimizer="adamw", learning_rate=rate, embedding_learning_rate=rate,
                epsilon=1e-8)
    for rate in (2e-5, 2e-4)
)  # fmt: skip
"""For a base that was trained elsewhere, and for one that was trained here."""


class FineTuningConfig(TrainingConfig):
    """Settings of a run that trains a base on documents."""

    optim: OptimConfig = NATIVE_OPTIM
    """Optimizer and schedule; a base that was trained elsewhere has another default."""
    source_digest: str = ""
    """Hash of the documents, and of a base that is no artifact; set by the stage."""


def produce_from_base(
    config: FineTuningConfig, source: Path, base: Path, out: Path, *, stage: str,
    objective: str, read: ReadConfig, write: Callable[..., None], files: Sequence[Path] = (),
    imported: OptimConfig = IMPORTED_OPTIM,
) -> Artifact:  # fmt: skip
    """Train a base on documents, as the artifact `out`; a stopped run resumes.

    read      which files of a folder are read
    write     takes the configuration, source, base, the run's identity and the draft
    files     what else is read
    imported  optimizer of a base that was trained elsewhere
    """
    if config.label_smoothing or config.z_loss:
        raise ConfigError("label_smoothing and z_loss are of losses of tokens; omit them.")
    parents, own = dict[str, Artifact](), list[Any]()
    if kind := artifact_kind(source):
        parents[kind] = Artifact.open(source, ("corpus", "documents"))
    if (base / MANIFEST).is_file():
        parents["base"] = Artifact.open(base, "model")
    else:
        paths = sorted(path for path in base.rglob("*") if path.is_file())
        own = [[str(path.relative_to(base)), hash_file(path)] for path in paths]
    own += [[path.name, hash_file(path)] for path in files]
    found = [] if kind == "corpus" else sorted(fingerprint_folder(source, read))
    native = "base" in parents and not is_imported(parents["base"])
    usual = NATIVE_OPTIM if native else imported
    optim = merge_optim(config.optim, "optim" in config.model_fields_set, usual)
    config = config.model_copy(update={"optim": optim, "source_digest": digest([own, found])})
    identity = RunIdentity(objective=objective, settings=config.hashed_values(), parents=parents)

    def write_alone(draft: Draft, mesh: Mesh) -> None:
        if mesh.device_mesh is not None:
            raise ConfigError(f"{stage} trains in one process; start it without torchrun.")
        write(config, source, base, identity, draft)

    return produce_model(
        config, out, write_alone, stage=stage, version=1, identity=identity,
        run_options=DEFAULT_OPTIONS,
    )  # fmt: skip


def train_head(
    config: TrainingConfig, draft: Draft, model: ModelWithHead, task: TrainingTask,
    identity: RunIdentity,
) -> None:  # fmt: skip
    """Train a model with its head to the end, and leave it ready for inference."""
    identity = identity._replace(model=task.body.config.to_dict())
    run = TrainingRun(draft, config, task, identity)
    run.train_to_end()
    model.model = run.final_model()
    model.eval()
