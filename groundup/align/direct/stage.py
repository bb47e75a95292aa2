"""Trains a model on preferences without a reward model: DPO and its kin, and KTO.

The reference is the model before training: what it gives each answer is computed once, before the
first step, so no second model is in memory. Prompt and answers are rendered by the model's chat
template, packed, and only tokens of answers count.

Pairs add up over micro-batches. KTO's usual change is one number of a step, so it is taken first,
over all its micro-batches and without gradients.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.core import Artifact, DataError, Draft, record
from groundup.kernels import LossSum
from groundup.model import Transformer
from groundup.train import (
    MicroBatch,
    OptimConfig,
    Precision,
    RunIdentity,
    TrainingRun,
    TrainingTask,
    batch_to_device,
    produce_alone,
    resolve_precision,
)

from .. import adapters, packing
from ..finetune import fit_to
from ..form import ChatFormat, check_fit
from ..preferences import SPLITS, Preference, read_preferences
from .losses import PAIR_LOSSES, Answers, PreferenceLossConfig, kto

USUAL = adapters.UsualOptim(
    OptimConfig(muon_learning_rate=2e-3, learning_rate=2e-4, embedding_learning_rate=1e-2),
    imported=1e-6, adapter=5e-4, imported_adapter=1e-5,
)  # fmt: skip
"""Of an imported model TRL's rate."""


class DirectConfig(packing.PreferenceTrainingConfig, adapters.AdaptableConfig):
    """How to train on preferences."""

    loss: PreferenceLossConfig = PreferenceLossConfig()
    """Which loss, and its constants."""
    optim: OptimConfig = USUAL.native
    """Optimizer and schedule; the defaults of an imported model are matrix_optimizer=adamw and
    learning_rate=1e-6."""


def direct(
    config: DirectConfig, model: Artifact, preferences: Artifact, out: Path, adapter: str = ""
) -> Artifact:
    """Train a chat model on preferences; a stopped run resumes from its last checkpoint.

    model        a tuned model, whose answers are near those that are compared
    preferences  pairs of answers, or for kto also single ones: `groundup preferences import`
    adapter      train an adapter alone: a new lora, prefix or bottleneck, or on from the directory
                 of one that `groundup finetune` trained

    Raises DataError if too few preferences fit, ConfigError for a setting that does not.
    """
    config, own = adapters.with_adapter(config, adapter, model, USUAL)
    config = fit_to(model, config)
    identity = RunIdentity(
        objective=config.loss.name, settings=config.hashed_values(),
        shards={"train": preferences.files["train.jsonl"]["sha256"]},
        parents={"model": model, "preferences": preferences} | own,
    )  # fmt: skip
    write = partial(_train_and_save, config, identity)
    kind = "adapter" if adapters.is_adapted(config, own) else "model"
    return produce_alone(config, out, write, stage="direct", identity=identity, kind=kind)


class PairObjective(NamedTuple):
    """The loss of pairs, summed over a micro-batch's."""

    config: PreferenceLossConfig

    def __call__(self, model: Transformer, batch: MicroBatch, routing: object = None) -> LossSum:
        """Nats of a micro-batch, and its number of pairs."""
        both = answer_logprobs(model, batch)
        chosen, rejected = (Answers(*(values[side::2] for values in both)) for side in (0, 1))
        assert self.config.name != "kto", "KTO has another objective"
        total = PAIR_LOSSES[self.config.name](chosen, rejected, self.config).sum()
        return LossSum(total, batch.weights.sum(dtype=torch.float64))


class KtoObjective(NamedTuple):
    """KTO's loss, summed over a micro-batch's answers."""

    config: PreferenceLossConfig

    def __call__(self, model: Transformer, batch: MicroBatch, routing: object = None) -> LossSum:
        """Nats of a batch that is a whole step, and its number of answers."""
        return self.total(model, batch, self.usual_change(model, [batch]))

    @torch.no_grad()
    def usual_change(self, model: Transformer, batches: Sequence[MicroBatch]) -> Float[Tensor, ""]:
        """Mean change of the answers to other prompts."""
        others = [_rows_of(batch, are_own=False) for batch in batches]
        parts = [answer_logprobs(model, rows).change for rows in others if len(rows.ids)]
        return torch.cat(parts).mean() if parts else torch.zeros(())

    def total(self, model: Transformer, batch: MicroBatch, other: Float[Tensor, ""]) -> LossSum:
        """Nats of a micro-batch's own answers."""
        own = _rows_of(batch, are_own=True)
        assert own.advantages is not None, "see pack_groups"
        is_good = sum_by_answer(own, own.advantages[own.targets != packing.PADDING]) > 0
        losses = kto(answer_logprobs(model, own), is_good, other, self.config)
        return LossSum(losses.sum(), own.weights.sum(dtype=torch.float64))

    def gradients(
        self, model: nn.Module, precision: Precision
    ) -> Callable[[Sequence[MicroBatch], float], float]:
        """How the training loop computes the gradients of a step."""
        assert isinstance(model, Transformer), "it is trained without a head"

        def gradients(batches: Sequence[MicroBatch], weight: float) -> float:
            device_type, loss = batches[0].ids.device.type, 0.0
            with precision.autocast(device_type):
                other = self.usual_change(model, batches)
            for batch in batches:
                if not bool(batch.weights.any()):
                    continue
                with precision.autocast(device_type):
                    total = self.total(model, batch, other).total / weight
                (total * precision.scale).backward()
                loss += float(total.detach())
            return loss

        return gradients


def answer_logprobs(model: Transformer, batch: MicroBatch) -> Answers:
    """Log-probabilities of a batch's answers, in the order of their groups."""
    assert batch.reference is not None, "see pack_groups"
    policy = packing.target_logprobs(model, batch)
    reference = batch.reference[batch.targets != packing.PADDING].to(policy.dtype)
    columns = (policy, reference, torch.ones_like(policy))
    return Answers(*(sum_by_answer(batch, values) for values in columns))


def sum_by_answer(batch: MicroBatch, values: Float[Tensor, " N"]) -> Float[Tensor, " A"]:
    """The sum over each answer of what its tokens have, in the order of their groups."""
    assert batch.documents is not None, "see pack_groups"
    documents = batch.documents[batch.targets != packing.PADDING]
    _, answer = torch.unique(documents, return_inverse=True)  # (N,)
    count = int(answer.max()) + 1 if len(answer) else 0
    return values.new_zeros(count).index_add(0, answer, values)


def _rows_of(batch: MicroBatch, *, are_own: bool) -> MicroBatch:
    """The rows of KTO's own answers, or of those to other prompts, whose weights are 0."""
    chosen = batch.weights.any(1) == are_own
    kept = {n: v[chosen] for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    return batch._replace(**kept)


def _train_and_save(config: DirectConfig, identity: RunIdentity, draft: Draft) -> None:
    parents, source = identity.parents, identity.parents["preferences"]
    model = adapters.load_trainable(config, parents)
    form = adapters.chat_format(parents, config.template)
    check_fit(form.tokenizer, model.config.vocab_size, form.path)
    rows = {name: read_preferences(source, name) for name in SPLITS}
    splits = [_compared(config, own, form, name, draft) for name, own in rows.items()]
    if config.loss.has_reference:
        splits = [_with_reference(model, split, config) for split in splits]
    draft.numbers |= {"preferences": len(splits[0])}
    data = packing.training_data(config, *splits, partial(_make_batch, config))
    pairs, single = PairObjective(config.loss), KtoObjective(config.loss)
    is_kto = config.loss.name == "kto"
    task = TrainingTask(
        model, model, single if is_kto else pairs, data, config.loss.name, is_compiled=False,
        gradients=single.gradients if is_kto else None,
    )  # fmt: skip
    run = TrainingRun(draft, config, task, identity._replace(model=model.config.to_dict()))
    run.train_to_end()
    trained = run.final_model()
    if not is_kto:
        draft.numbers["held_out"] = preferred(trained, data.held_out[""], config.loss)
        share, margin, count = draft.numbers["held_out"].values()
        record.log(f"Held-out pairs: {share:.1%} of {count} preferred, by {margin:.3f} nats.")
    stops = form.stop_ids(answer.end for each in splits[0] for answer in each)
    adapters.save_trained(config, trained, draft, parents, form, stops)


def _compared(
    config: DirectConfig, rows: Sequence[Preference], form: ChatFormat, name: str, draft: Draft
) -> Sequence[packing.Group]:
    """What the loss compares, rendered: a pair, or an answer and one to another prompt.

    An answer of kto has the advantage 1 if it is good, else -1. What is too long is left out,
    and named in the log.
    """

    def answer(row: Preference, text: str) -> packing.RenderedAnswer:
        return packing.RenderedAnswer.of_chat(form.render(row.conversation(text), name))

    if config.loss.name == "kto":
        single = [(row, text) for row in rows for text in (row.chosen, row.rejected) if text]
        signs = [np.array(1.0 if text == row.chosen else -1.0) for row, text in single]
        if len({*map(float, signs)}) < 2 or len({id(row) for row, _ in single}) < 2:
            raise DataError(
                f"The {name} answers are of one kind or of one row; kto needs good and bad ones of "
                "several: give more of both, or, if there are, hold more out (`preferences import "
                "--set validation_share=0.3`)."
            )
        found = list[list[packing.RenderedAnswer]]()
        for n, (row, text) in enumerate(single):
            other = single[n - 1 if single[n - 1][0] is not row else n - 2][1]  # of another row
            own = answer(row, text)._replace(advantage=signs[n])
            found.append([own, answer(row, other)])
        rows = [row for row, _ in single]
    else:
        rows = [row for row in rows if row.is_pair]
        found = [[answer(row, row.chosen), answer(row, row.rejected)] for row in rows]
    prompts = [row.prompt for row in rows]
    kept = packing.leave_out_long(draft, name, found, prompts, config.max_length)
    if not kept:
        raise DataError(
            f"No {name} preference fits {config.loss.name}; give pairs, or shorter; single answers "
            "are for --set loss.name=kto."
        )
    return kept


def _with_reference(
    model: Transformer, compared: Sequence[packing.Group], config: DirectConfig
) -> Sequence[packing.Group]:
    """The same with what the model gives each token now, in the precision of the training."""
    flat, place = [answer for each in compared for answer in each], model.head.device
    with resolve_precision(config.precision, place).autocast(place.type):
        found = iter(packing.with_reference(model, flat, config.row_tokens))
    return [[next(found) for _ in each] for each in compared]


def _make_batch(config: DirectConfig, chosen: Sequence[packing.Group]) -> MicroBatch:
    if config.loss.name != "kto":
        return packing.pack_groups(chosen, config.row_tokens)
    sides = ([each[side : side + 1] for each in chosen] for side in (0, 1))
    own, other = (packing.pack_groups(groups, config.row_tokens) for groups in sides)
    return packing.join_rows([own, other._replace(weights=torch.zeros_like(other.weights))])


@torch.no_grad()
def preferred(
    model: Transformer, batches: Sequence[MicroBatch], loss: PreferenceLossConfig
) -> dict[str, float]:
    """Share of pairs whose chosen answer the loss puts above the other, and by how much.

    By the change against the reference, or without one by the mean log-probability, nats.
    """
    model.eval()
    gains = list[float]()
    for batch in batches:
        answers = answer_logprobs(model, batch_to_device(batch, model.head.device))
        merit = answers.change if loss.has_reference else answers.mean
        gains += (merit[::2] - merit[1::2]).tolist()
    share, margin = sum(gain > 0 for gain in gains) / len(gains), math.fsum(gains) / len(gains)
    return {"preferred": round(share, 4), "margin": round(margin, 4), "pairs": len(gains)}
