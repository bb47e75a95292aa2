"""Supervised fine-tuning: a chat model from a base model and conversations, with the training loop.

Only assistant tokens and their stop token have a loss. Conversations are rendered with the chat
template of serving (form.py) and packed into sequences with block-diagonal attention; their order
is a function of the step. Imported models start with the usual small learning rates, models that
were trained here with large ones. With an adapter the base is frozen, packed if it is, and the
adapter alone is trained, checkpointed and saved. An encoder–decoder learns to write each answer
from what was said before it (sources.py).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from groundup.core import Artifact, ConfigError, DataError, Draft
from groundup.model import open_config
from groundup.train import (
    Mesh,
    OptimConfig,
    RunIdentity,
    RunOptions,
    TrainingData,
    TrainingRun,
    TrainingTask,
    causal_loss,
    check_batch_divides,
    produce_model,
    sequence_to_sequence_loss,
    shuffled_indices,
    split_batch,
)

from . import adapters
from .examples.exchanges import ChatExample, shuffle_copy
from .examples.make import read_examples
from .form import ChatFormat, check_fit, read_template
from .packing import PackedTalks, PreferenceTrainingConfig, name_long
from .sources import SourceFormat

USUAL = adapters.UsualOptim(
    OptimConfig(muon_learning_rate=0.015, learning_rate=2e-3, embedding_learning_rate=0.1),
    imported=2e-5, adapter=2e-3, imported_adapter=2e-4,
)  # fmt: skip
"""An imported model is not to forget what it learned; under an adapter it cannot."""


class FinetuneConfig(adapters.AdaptableConfig):
    """How to fine-tune."""

    epochs: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Number of passes over the conversations."""
    max_length: int = Field(default=512, ge=1)
    """Tokens of a packed sequence, by default at most the model's context; longer conversations are
    left out, and named in the log. Of an encoder–decoder: of a source, and of a target."""
    batch_rows: int = Field(default=6, ge=1)
    """Packed sequences per optimizer step."""
    rehearsal: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Conversations of --rehearse for each one of the examples, at most."""
    template: str = ""
    """A file with a chat template, or `plain` for turns in plain words; empty: the model's own, or
    groundup's if the model has none and its vocabulary has the special tokens."""
    optim: OptimConfig = USUAL.native
    """Optimizer and schedule. The defaults of an imported model are
    matrix_optimizer=adamw and learning_rate=2e-5."""
    validations: int = Field(default=2, ge=1)
    """Number of evaluations on held-out conversations during the run."""

    @model_validator(mode="after")
    def check_rows(self) -> "FinetuneConfig":
        """Reject more micro-batches than sequences."""
        if self.micro_batches > self.batch_rows:
            came = f"micro_batches={self.micro_batches} exceeds batch_rows={self.batch_rows}"
            raise ConfigError(f"{came}; give at most that.")
        return self


def finetune(
    config: FinetuneConfig, model: Artifact, examples: Artifact, out: Path, *, adapter: str = "",
    mesh: str = "", zero: Literal[1, 2, 3] = 3, schedule: Literal["gpipe", "1f1b"] = "1f1b",
    profile: int | None = None, tensorboard: bool = False, rehearse: Artifact | None = None,
) -> Artifact:  # fmt: skip
    """Fine-tune a model, or an adapter of it; a stopped run resumes from its last checkpoint.

    `torchrun --nproc-per-node N -m groundup finetune` trains on N processes.

    model        a base model, also an imported one, with its tokenizer and chat template, or an
                 encoder–decoder, which needs no template
    examples     conversations made by `groundup examples make`
    rehearse     other conversations, of which some are trained on too, against forgetting
    adapter      train an adapter alone: a new lora, prefix or bottleneck, or on from an adapter's
                 directory; the result is a directory that PEFT or AdapterHub opens, and `groundup
                 merge` adds to the model
    mesh         processes by dimension, such as data=2,tensor=2; default: data parallel
    zero         stage along the dimension shard: 1 shards optimizer states, 2 also gradients,
                 3 also weights
    schedule     schedule along the dimension pipeline
    profile      first of three steps, counted from 0, to profile by operator, into the log
    tensorboard  also write metrics as event files; needs the extra `tensorboard`

    Raises DataError naming a conversation without a token to train on, and ConfigError for a chat
    template in which answers cannot be distinguished from the rest.
    """
    config, own = adapters.with_adapter(config, adapter, model, USUAL)
    config = fit_to(model, config, ("decoder", "encoder_decoder"))
    identity = RunIdentity(
        objective="chat", settings=config.hashed_values(),
        shards={"train": examples.files["train.jsonl"]["sha256"]},
        parents={"model": model, "examples": examples} | own
        | ({"rehearse": rehearse} if rehearse else {}),
    )  # fmt: skip
    options = RunOptions(mesh, zero, schedule, profile, tensorboard)
    return produce_model(
        config, out, partial(_train_and_save, config, identity, options), stage="finetune",
        version=3, identity=identity, run_options=options,
        kind="adapter" if adapters.is_adapted(config, own) else "model",
    )  # fmt: skip


Texts = TypeVar("Texts", bound="FinetuneConfig | PreferenceTrainingConfig")


def fit_to(base: Artifact, config: Texts, kinds: Sequence[str] = ("decoder",)) -> Texts:
    """A configuration with its template's text, and lengths of the model's context if none is set.

    Raises ConfigError for a model of another kind, and for lengths beyond its context.
    """
    length = config.max_length
    if "max_length" not in config.model_fields_set:
        length = min(length, open_config(base.path).context_length)
    check_model(base, length, kinds)
    values = {"template": read_template(config.template), "max_length": length}
    return config.model_copy(update=values)


def check_model(base: Artifact, max_length: int, kinds: Sequence[str] = ("decoder",)) -> None:
    """Reject a model of another kind, and sequences beyond its context."""
    own = open_config(base.path)
    if max_length > own.context_length:
        came = f"max_length={max_length} exceeds the model's context_length={own.context_length}"
        raise ConfigError(f"{came}; give at most that.")
    if own.kind not in kinds:
        needed = " or ".join(kinds)
        raise ConfigError(f"{base.path} is of kind {own.kind!r}; this training needs a {needed}.")


def _train_and_save(
    config: FinetuneConfig, identity: RunIdentity, options: RunOptions, draft: Draft, mesh: Mesh
) -> None:
    parents, base = identity.parents, identity.parents["model"]
    adapted = adapters.is_adapted(config, parents)
    if adapted and mesh.device_mesh is not None:
        raise ConfigError("An adapter trains on one process; omit mesh, or adapter.")
    model = adapters.load_trainable(config, parents)
    # Attention is causal from here on, even if the base was trained with a bidirectional prefix.
    model.config = model.config.model_copy(update={"prefix": False})
    is_decoder = model.encoder is None
    form = adapters.chat_format(parents, config.template) if is_decoder else SourceFormat(base.path)
    check_fit(form.tokenizer, model.config.vocab_size, base.path)
    others = [*read_examples(parents["rehearse"], "train")] if "rehearse" in parents else []
    others = shuffle_copy(others, Random(config.seed))
    splits = {
        "train": _pack_split(
            parents["examples"], "train", form, config.max_length, others, config.rehearsal
        ),
        "validation": _pack_split(parents["examples"], "validation", form, config.max_length),
    }
    text, held_out = splits.values()
    draft.numbers |= {"rows": text.count, "dropped": len(text.dropped)}
    for name, rows in splits.items() if mesh.is_first else ():
        name_long(draft, name, config.max_length, rows.dropped)
    data = _training_data(config, text, held_out)
    options.check_profile(data.steps)
    check_batch_divides(config.batch_rows, mesh)
    loss = causal_loss if is_decoder else sequence_to_sequence_loss
    task = TrainingTask(model, model, loss, data, "chat", is_compiled=not adapted)
    identity = identity._replace(model=model.config.to_dict())
    run = TrainingRun(draft, config, task, identity, run_options=options, mesh=mesh)
    run.train_to_end()
    trained = run.final_model()
    if mesh.is_first:
        adapters.save_trained(config, trained, draft, parents, form, text.stops)


def _pack_split(
    examples: Artifact, name: str, form: ChatFormat | SourceFormat, length: int,
    others: Sequence[ChatExample] = (), share: float = 0.0,
) -> PackedTalks:  # fmt: skip
    """Render a split's conversations and pack them.

    others  from which so many more are taken, `share` for each
    """
    talks, path = list(read_examples(examples, name)), examples.path
    if not talks:
        raise DataError(f"{path} has no {name} conversations; make examples of more documents.")
    talks += others[: round(share * len(talks))]
    return form.pack(talks, length)


def _training_data(
    config: FinetuneConfig, text: PackedTalks, held_out: PackedTalks
) -> TrainingData:
    """The batches of a run: packed sequences in the order of each epoch."""
    step_tokens = config.batch_rows * config.max_length
    return TrainingData(
        lambda n: text.batch(shuffled_indices(n, config.batch_rows, text.count, config.seed)),
        max(1, round(config.epochs * text.count / config.batch_rows)),
        lambda step: step * step_tokens, lambda step: config.max_length,
        {"": split_batch(held_out.batch(range(held_out.count)), held_out.count // 4 + 1)},
    )  # fmt: skip
