"""What the training of encoders and of readers shares: a base, documents, one process, one run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from groundup.core import MANIFEST, Artifact, Draft, digest, hash_file
from groundup.documents import ReadConfig, artifact_kind, fingerprint_folder
from groundup.model import ModelWithHead
from groundup.train import (
    OptimConfig,
    RunIdentity,
    TrainingConfig,
    TrainingRun,
    TrainingTask,
    produce_alone,
    with_usual_optim,
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
    config = with_usual_optim(config, parents.get("base"), NATIVE_OPTIM, imported)
    config = config.model_copy(update={"source_digest": digest([own, found])})
    identity = RunIdentity(objective=objective, settings=config.hashed_values(), parents=parents)
    write = partial(write, config, source, base, identity)
    return produce_alone(config, out, write, stage=stage, identity=identity)


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
