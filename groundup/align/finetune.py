"""Supervised fine-tuning: a chat model from a base model and conversations, with the training loop.

Only assistant tokens and their stop token have a loss. Conversations are rendered with the chat
template of serving (form.py) and packed into sequences with block-diagonal attention; their order
is a function of the step. Imported models start with the usual small learning rates, models that
were trained here with large ones.
"""

from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    device,
    produce,
    record,
)
from groundup.model import Transformer, load_to_train, save
from groundup.tokenizer import PackedSequences, pack_examples
from groundup.train import (
    METRICS_FILE,
    CheckpointConfig,
    Checkpoints,
    CompilationCheck,
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    enable_compilation,
    evenly_spaced,
    is_imported,
    keep_compiled_if_correct,
    log_steps,
    make_lr_schedule,
    merge_optim,
    open_metrics,
    save_checkpoints,
    split_batch,
    summarise_metrics,
    train,
    validate_steps,
    validation_scorer,
)

from .examples import read_examples
from .form import ChatFormat, load_chat_format, read_template

NATIVE_OPTIM = OptimConfig(
    muon_learning_rate=0.015, learning_rate=2e-3, embedding_learning_rate=0.1
)
"""For a model that was trained here."""
IMPORTED_OPTIM = OptimConfig(
    matrix_optimizer="adamw", learning_rate=2e-5, embedding_learning_rate=2e-5, epsilon=1e-8
)
"""For an imported model, so that it does not forget what it learned."""


class FinetuneConfig(Config):
    """How to fine-tune."""

    epochs: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Number of passes over the conversations."""
    max_length: int = Field(default=512, ge=1)
    """Tokens of a packed sequence; longer conversations are skipped and counted."""
    batch_rows: int = Field(default=6, ge=1)
    """Packed sequences per optimizer step."""
    micro_batches: int = Field(default=1, ge=1)
    """Micro-batches per step (gradient accumulation)."""
    template: str = ""
    """A file with a chat template, or `plain` for turns in plain words; empty: the model's own, or
    groundup's if the model has none and its vocabulary has the special tokens."""
    optim: OptimConfig = NATIVE_OPTIM
    """Optimizer and schedule. The defaults of an imported model are
    matrix_optimizer=adamw and learning_rate=2e-5."""
    seed: int = 0
    """Seed of the order of sequences."""
    validations: int = Field(default=2, ge=1)
    """Number of evaluations on held-out conversations during the run."""
    save_seconds: float = 15.0
    """Seconds between checkpoints."""


def finetune(config: FinetuneConfig, model: Artifact, examples: Artifact, out: Path) -> Artifact:
    """Fine-tune a model on conversations; a stopped run resumes from its last checkpoint.

    model     a base model, also an imported one, with its tokenizer and chat template
    examples  conversations made by `groundup examples make`

    Raises DataError naming a conversation without a token to train on, and ConfigError for a chat
    template in which answers cannot be distinguished from the rest.
    """
    config = config.model_copy(
        update={
            "template": read_template(config.template),
            "optim": merge_optim(
                config.optim,
                "optim" in config.model_fields_set,
                IMPORTED_OPTIM if is_imported(model) else NATIVE_OPTIM,
            ),
        }
    )
    return produce(
        out,
        kind="model",
        stage="finetune",
        version=2,
        config=config,
        parents={"model": model, "examples": examples},
        write=lambda draft: _finetune_and_save(draft, config, model, examples),
    )


def _finetune_and_save(
    draft: Draft, config: FinetuneConfig, base: Artifact, examples: Artifact
) -> None:
    """Fine-tune and save."""
    if config.micro_batches > config.batch_rows:
        raise ConfigError(
            f"micro_batches={config.micro_batches} exceeds batch_rows={config.batch_rows}; give at "
            "most that."
        )
    model = load_to_train(base.path).to(device.default_device())
    if config.max_length > model.config.context_length:
        raise ConfigError(
            f"max_length={config.max_length} exceeds the model's context_length="
            f"{model.config.context_length}; give at most that."
        )
    if model.config.kind != "decoder":
        raise ConfigError(
            f"{base.path} is of kind {model.config.kind!r}; fine-tuning needs a decoder."
        )
    # Attention is causal from here on, even if the base was trained with a bidirectional prefix.
    model.config = model.config.model_copy(update={"prefix": False})
    form = load_chat_format(base.path, config.template)
    form.check_fit(model.config.vocab_size)
    rows = {
        name: _pack_split(examples, name, form, config.max_length)
        for name in ("train", "validation")
    }
    draft.numbers |= {"rows": len(rows["train"].ids), "left out": len(rows["train"].dropped)}
    _train(draft, config, model, rows)
    save(model, draft.path, base.path, chat=True)
    form.save(draft.path, base.path, form.stop_ids(rows["train"]))


def _pack_split(examples: Artifact, name: str, form: ChatFormat, length: int) -> PackedSequences:
    """Render a split's conversations with the chat template and pack them."""
    examples_of_split = list(read_examples(examples, name))
    if not examples_of_split:
        raise DataError(
            f"{examples.path} has no {name} conversations; make examples of more documents."
        )
    rendered = [form.render(example.messages, example.id) for example in examples_of_split]
    names = [example.id for example in examples_of_split]
    return pack_examples(rendered, length, too_long="drop", names=names)


def _train(
    draft: Draft, config: FinetuneConfig, model: Transformer, rows: dict[str, PackedSequences]
) -> None:
    """Run the training loop with its services."""
    target, text = device.default_device(), rows["train"]
    steps = max(1, round(config.epochs * len(text.ids) / config.batch_rows))
    optimizer = Optimizer(model.named_parameters(), config.optim)
    saved = {"model": model, "optimizer": optimizer}
    checkpoints = Checkpoints(
        draft.scratch, saved, CheckpointConfig(every_seconds=config.save_seconds)
    )
    resumed = checkpoints.resume()
    enable_compilation(model, resumed)
    precision = Precision(device.compute_dtype(target))

    def batches(step: int) -> list[MicroBatch]:
        chosen = _sequence_order(len(text.ids), config, step)
        return split_batch(_make_batch(text, chosen, target), config.micro_batches)

    compiled = keep_compiled_if_correct(
        model, CompilationCheck(causal_loss, [batches(0)[0]], precision)
    )
    validation = _make_batch(rows["validation"], np.arange(len(rows["validation"].ids)), target)
    parts = split_batch(validation, len(validation.ids) // 4 + 1)
    held_out = validation_scorer(model, parts, precision)
    validation_steps = evenly_spaced(steps, config.validations)
    per_step = config.batch_rows * config.max_length
    with (
        open_metrics(draft, resumed) as metrics,
        record.progress("chat", steps * per_step, "tokens") as bar,
    ):
        bar.advance(resumed.step * per_step)
        plan = LoopOptions(steps, resumed.step, precision)
        rate = make_lr_schedule(config.optim, steps)
        training = train(model, batches, causal_loss, optimizer, rate, plan)
        training = log_steps(training, metrics, bar)
        training = validate_steps(training, held_out, validation_steps, metrics)
        for _ in save_checkpoints(training, checkpoints):
            pass
    numbers = {"steps": steps, "compiled": compiled}
    draft.numbers |= numbers | summarise_metrics(draft.log / METRICS_FILE)


def _sequence_order(rows: int, config: FinetuneConfig, step: int) -> np.ndarray:
    """Indices of a step's sequences; each epoch is another permutation."""
    chosen = []
    for position in range(step * config.batch_rows, (step + 1) * config.batch_rows):
        epoch, index = divmod(position, rows)
        generator = np.random.default_rng([config.seed, epoch])
        chosen.append(generator.permutation(rows)[index])
    return np.array(chosen)


def _make_batch(rows: PackedSequences, chosen: np.ndarray, target: torch.device) -> MicroBatch:
    """A batch of packed sequences on a device."""
    arrays = (rows.ids, rows.targets, rows.weights, rows.documents)
    tensors = [torch.from_numpy(np.ascontiguousarray(array[chosen])).to(target) for array in arrays]
    return MicroBatch(*tensors, names=tuple(f"row {row}" for row in chosen))
