"""Fine-tuning: a chat model from a base model and conversations, on the loop of pre-training.

Only the assistant's words and their stop token are trained. Conversations are rendered as the model
will be served (form.py), packed into rows that attention keeps apart, and the rows are read in an
order that is a function of the step. A model of others begins with the usual small steps of its
kind; one that was trained here from nothing takes large ones.
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
"""Of a model that was trained here."""
GENTLE = OptimConfig(
    matrices="adamw", learning_rate=2e-5, embedding_learning_rate=2e-5, epsilon=1e-8
)
"""Of an imported model, in the place of OURS: what was learnt long is not to be forgotten."""


class FinetuneConfig(Config):
    """How to tune."""

    epochs: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """How often each conversation is seen."""
    length: int = Field(default=512, ge=1)
    """Tokens of a packed row; longer conversations are left out and counted."""
    batch_rows: int = Field(default=6, ge=1)
    """Packed rows of one optimizer step."""
    micro_batches: int = Field(default=1, ge=1)
    """Parts in which a step is computed."""
    template: str = ""
    """A file with a chat template, or `plain` for turns in plain words; empty: the model's own.
    Of a model that has none it is ours, if its vocabulary knows ours."""
    optim: OptimConfig = OURS
    """Optimizer and schedule. An imported model's defaults are matrices=adamw and
    learning_rate=2e-5."""
    seed: int = 0
    """Of the order of rows."""
    validations: int = Field(default=2, ge=1)
    """How often held-out conversations are scored during the run."""
    save_seconds: float = 15.0
    """Time between checkpoints."""


def finetune(config: FinetuneConfig, model: Artifact, examples: Artifact, out: Path) -> Artifact:
    """Tune a model on conversations; a run that was stopped goes on from its last checkpoint.

    model     a base model, imported ones too; it carries its tokenizer and chat template
    examples  conversations made by `groundup examples make`

    Raises DataError naming a conversation with no token to train on, and ConfigError for a chat
    template by which answers cannot be told from the rest.
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
    """Tune and save; the body of the stage."""
    if config.micro_batches > config.batch_rows:
        raise ConfigError(
            f"micro_batches={config.micro_batches} cuts a step into more parts than its "
            f"batch_rows={config.batch_rows}; give that at most."
        )
    model = load_to_train(base.path).to(device.pick())
    if config.length > model.config.context_length:
        raise ConfigError(
            f"length={config.length} exceeds the model's context_length="
            f"{model.config.context_length}; give at most that."
        )
    if model.config.kind != "decoder":
        raise ConfigError(
            f"{base.path} is of kind {model.config.kind!r}, and conversations are continued by "
            "decoders alone; give a decoder."
        )
    # Turns are tuned in order, and so are they read from here on, whatever the base was trained on.
    model.config = model.config.model_copy(update={"prefix": False})
    form = form_of(base.path, config.template)
    form.check_fit(model.config.vocab_size)
    rows = {name: packed(examples, name, form, config.length) for name in ("train", "validation")}
    draft.numbers |= {"rows": len(rows["train"].ids), "left out": len(rows["train"].dropped)}
    run(draft, config, model, rows)
    save(model, draft.path, base.path, chat=True)
    form.write(draft.path, base.path, form.stops(rows["train"]))


def packed(examples: Artifact, name: str, form: Form, length: int) -> Packed:
    """A split's conversations, rendered in the model's own form and packed."""
    found = list(read_examples(examples, name))
    if not found:
        raise DataError(
            f"{examples.path} has no {name} conversations; make examples of more documents."
        )
    rendered = [form.render(example.messages, example.id) for example in found]
    names = [example.id for example in found]
    return pack_examples(rendered, length, too_long="drop", names=names)


def run(draft: Draft, config: FinetuneConfig, model: Transformer, rows: dict[str, Packed]) -> None:
    """The loop with its services around it."""
    place, text = device.pick(), rows["train"]
    steps = max(1, round(config.epochs * len(text.ids) / config.batch_rows))
    optimizer = Optimizer(model.named_parameters(), config.optim)
    saved = CheckpointConfig(every_seconds=config.save_seconds)
    checkpoints = Checkpoints(draft.scratch, {"model": model, "optimizer": optimizer}, saved)
    resumed = checkpoints.resume()
    compiling(model, resumed)
    precision = Precision(device.compute_dtype(place))

    def batches(step: int) -> list[Batch]:
        chosen = order(len(text.ids), config, step)
        return split(batch_of(text, chosen, place), config.micro_batches)

    compiled = check_compiled(model, CheckedRun(causal, [batches(0)[0]], precision))
    unseen = rows["validation"]
    whole = batch_of(unseen, np.arange(len(unseen.ids)), place)
    held_out = scoring(model, split(whole, len(whole.ids) // 4 + 1), precision)
    due = evenly(steps, config.validations)
    per_step = config.batch_rows * config.length
    with (
        measured(draft, resumed) as metrics,
        record.progress("chat", steps * per_step, "tokens") as bar,
    ):
        bar.advance(resumed.step * per_step)
        plan, rate = Plan(steps, resumed.step, precision), schedule(config.optim, steps)
        training = train(model, batches, causal, optimizer, rate, plan)
        training = validating(logging(training, metrics, bar), held_out, due, metrics)
        for _ in saving(training, checkpoints):
            pass
    draft.numbers |= {"steps": steps, "compiled": compiled} | summary(draft.log / METRICS)


def order(rows: int, config: FinetuneConfig, step: int) -> np.ndarray:
    """Numbers of the rows of a step: each epoch is a permutation of its own."""
    chosen = []
    for place in range(step * config.batch_rows, (step + 1) * config.batch_rows):
        epoch, within = divmod(place, rows)
        generator = np.random.default_rng([config.seed, epoch])
        chosen.append(generator.permutation(rows)[within])
    return np.array(chosen)


def batch_of(rows: Packed, chosen: np.ndarray, place: torch.device) -> Batch:
    """Some packed rows as a batch on a device."""
    parts = (rows.ids, rows.targets, rows.weights, rows.documents)
    tensors = [torch.from_numpy(np.ascontiguousarray(part[chosen])).to(place) for part in parts]
    return Batch(*tensors, names=tuple(f"row {row}" for row in chosen))
