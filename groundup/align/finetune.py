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
from groundup.tokenizer import Packed, pack_examples
from groundup.train import (
    METRICS,
    Batch,
    CheckedRun,
    CheckpointConfig,
    Checkpoints,
    OptimConfig,
    Optimizer,
    Plan,
    Precision,
    causal,
    check_compiled,
    compiling,
    evenly,
    is_of_others,
    logging,
    measured,
    optim_for,
    saving,
    schedule,
    scoring,
    split,
    summary,
    train,
    validating,
)

from .examples import read_examples
from .form import Form, form_of, template_text

OURS = OptimConfig(muon_learning_rate=0.015, learning_rate=2e-3, embedding_learning_rate=0.1)
"""For a model that was trained here."""
GENTLE = OptimConfig(
    matrices="adamw", learning_rate=2e-5, embedding_learning_rate=2e-5, epsilon=1e-8
)
"""For an imported model, so that it does not forget what it learned."""


class FinetuneConfig(Config):
    """How to fine-tune."""

    epochs: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Number of passes over the conversations."""
    length: int = Field(default=512, ge=1)
    """Tokens of a packed sequence; longer conversations are skipped and counted."""
    batch_rows: int = Field(default=6, ge=1)
    """Packed sequences per optimizer step."""
    micro_batches: int = Field(default=1, ge=1)
    """Micro-batches per step (gradient accumulation)."""
    template: str = ""
    """A file with a chat template, or `plain` for turns in plain words; empty: the model's own, or
    groundup's if the model has none and its vocabulary has the special tokens."""
    optim: OptimConfig = OURS
    """Optimizer and schedule. The defaults of an imported model are matrices=adamw and
    learning_rate=2e-5."""
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
            "template": template_text(config.template),
            "optim": optim_for(
                config.optim,
                "optim" in config.model_fields_set,
                GENTLE if is_of_others(model) else OURS,
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
        write=lambda draft: write_chat(draft, config, model, examples),
    )


def write_chat(draft: Draft, config: FinetuneConfig, base: Artifact, examples: Artifact) -> None:
    """Fine-tune and save."""
    if config.micro_batches > config.batch_rows:
        raise ConfigError(
            f"micro_batches={config.micro_batches} exceeds batch_rows={config.batch_rows}; give at "
            "most that."
        )
    model = load_to_train(base.path).to(device.pick())
    if config.length > model.config.context_length:
        raise ConfigError(
            f"length={config.length} exceeds the model's context_length="
            f"{model.config.context_length}; give at most that."
        )
    if model.config.kind != "decoder":
        raise ConfigError(
            f"{base.path} is of kind {model.config.kind!r}; fine-tuning needs a decoder."
        )
    # Attention is causal from here on, even if the base was trained with a bidirectional prefix.
    model.config = model.config.model_copy(update={"prefix": False})
    form = form_of(base.path, config.template)
    form.check_fit(model.config.vocab_size)
    rows = {name: packed(examples, name, form, config.length) for name in ("train", "validation")}
    draft.numbers |= {"rows": len(rows["train"].ids), "left out": len(rows["train"].dropped)}
    run(draft, config, model, rows)
    save(model, draft.path, base.path, chat=True)
    form.write(draft.path, base.path, form.stops(rows["train"]))


def packed(examples: Artifact, name: str, form: Form, length: int) -> Packed:
    """Render a split's conversations with the chat template and pack them."""
    examples_of_split = list(read_examples(examples, name))
    if not examples_of_split:
        raise DataError(
            f"{examples.path} has no {name} conversations; make examples of more documents."
        )
    rendered = [form.render(example.messages, example.id) for example in examples_of_split]
    names = [example.id for example in examples_of_split]
    return pack_examples(rendered, length, too_long="drop", names=names)


def run(draft: Draft, config: FinetuneConfig, model: Transformer, rows: dict[str, Packed]) -> None:
    """Run the training loop with its services."""
    target, text = device.pick(), rows["train"]
    steps = max(1, round(config.epochs * len(text.ids) / config.batch_rows))
    optimizer = Optimizer(model.named_parameters(), config.optim)
    checkpoint_config = CheckpointConfig(every_seconds=config.save_seconds)
    checkpoints = Checkpoints(
        draft.scratch, {"model": model, "optimizer": optimizer}, checkpoint_config
    )
    resumed = checkpoints.resume()
    compiling(model, resumed)
    precision = Precision(device.compute_dtype(target))

    def batches(step: int) -> list[Batch]:
        chosen = order(len(text.ids), config, step)
        return split(batch_of(text, chosen, target), config.micro_batches)

    compiled = check_compiled(model, CheckedRun(causal, [batches(0)[0]], precision))
    validation = rows["validation"]
    validation_batch = batch_of(validation, np.arange(len(validation.ids)), target)
    held_out = scoring(
        model, split(validation_batch, len(validation_batch.ids) // 4 + 1), precision
    )
    validation_steps = evenly(steps, config.validations)
    per_step = config.batch_rows * config.length
    with (
        measured(draft, resumed) as metrics,
        record.progress("chat", steps * per_step, "tokens") as bar,
    ):
        bar.advance(resumed.step * per_step)
        plan, rate = Plan(steps, resumed.step, precision), schedule(config.optim, steps)
        training = train(model, batches, causal, optimizer, rate, plan)
        training = validating(logging(training, metrics, bar), held_out, validation_steps, metrics)
        for _ in saving(training, checkpoints):
            pass
    draft.numbers |= {"steps": steps, "compiled": compiled} | summary(draft.log / METRICS)


def order(rows: int, config: FinetuneConfig, step: int) -> np.ndarray:
    """Indices of a step's sequences; each epoch is another permutation."""
    chosen = []
    for position in range(step * config.batch_rows, (step + 1) * config.batch_rows):
        epoch, index = divmod(position, rows)
        generator = np.random.default_rng([config.seed, epoch])
        chosen.append(generator.permutation(rows)[index])
    return np.array(chosen)


def batch_of(rows: Packed, chosen: np.ndarray, target: torch.device) -> Batch:
    """A batch of packed sequences on a device."""
    arrays = (rows.ids, rows.targets, rows.weights, rows.documents)
    tensors = [torch.from_numpy(np.ascontiguousarray(array[chosen])).to(target) for array in arrays]
    return Batch(*tensors, names=tuple(f"row {row}" for row in chosen))
