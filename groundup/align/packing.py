"""Answers in packed rows, and what a model gives their tokens.

    row      prompt a, chosen a | prompt a, rejected a | prompt b, chosen b | …    one document each
    targets  the next token where it is of the answer, -1 elsewhere
    weights  1 at the first token of each group, so that a step is divided by its groups

A group is what a loss compares: both answers of a pair, or one answer. It stays within a row, so a
batch may be split between any rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from groundup.core import Conversation, Draft, record, write_text
from groundup.kernels import Branches, token_logprobs
from groundup.model import Transformer
from groundup.tokenizer import RenderedChat, first_fit
from groundup.train import (
    MicroBatch,
    TrainingConfig,
    TrainingData,
    batch_to_device,
    shuffled_indices,
)

PADDING, ROW_TOKENS, VALIDATION_BATCHES = -1, 2048, 16
SHORT_ROW = 256
"""Positions of a row of short answers: attention costs the square of a row, whatever it holds."""
ROWS = 8
"""Rows of a batch without gradients."""
FILLINGS = {
    "ids": 0, "targets": PADDING, "weights": 0.0, "documents": -1, "positions": 0,
    "reference": 0.0, "sampled": 0.0, "advantages": 0.0, "values": 0.0, "returns": 0.0,
}  # fmt: skip
"""What pads rows."""


class RenderedAnswer(NamedTuple):
    """A prompt with an answer, as ids."""

    ids: np.ndarray
    """(T,) of both."""
    is_answer: np.ndarray
    """(T,) whether a token is of the answer, its stop token included."""
    reference: np.ndarray
    """(T,) log-probability of each token of the answer before training; zeros without a
    reference."""
    sampled: np.ndarray = np.zeros(0, np.float32)
    """(T,) log-probabilities that it was sampled with; empty if it was not."""
    advantage: np.ndarray = np.zeros(())
    """() of the answer, or (T,) of each token."""
    values: np.ndarray = np.zeros(())
    """(T,) of each token in PPO when it was sampled."""
    returns: np.ndarray = np.zeros(())
    """(T,) what they turned out to be."""

    @property
    def length(self) -> int:
        """Positions that it takes: the last id is a target only."""
        return len(self.ids) - 1

    def columns(self) -> dict[str, np.ndarray | float]:
        """What rows hold of it."""
        sampled = self.sampled if len(self.sampled) else np.zeros_like(self.reference)
        return {
            "ids": self.ids[:-1], "targets": np.where(self.is_answer[1:], self.ids[1:], PADDING),
            "reference": self.reference[1:], "sampled": sampled[1:],
            "advantages": self.advantage[1:] if self.advantage.ndim else self.advantage,
            "values": self.values[1:] if self.values.ndim else 0.0,
            "returns": self.returns[1:] if self.returns.ndim else 0.0,
        }  # fmt: skip

    @property
    def end(self) -> int:
        """Its last id, which ends the answer."""
        return int(self.ids[self.is_answer][-1])

    def with_reference(self, logprobs: np.ndarray) -> "RenderedAnswer":
        """With the log-probabilities of its answer's tokens before training."""
        reference = np.zeros(len(self.ids), np.float32)
        reference[self.is_answer] = logprobs
        return self._replace(reference=reference)

    @classmethod
    def of_chat(cls, chat: RenderedChat) -> "RenderedAnswer":
        """The last answer of a conversation: what was said before it is prompt."""
        mask = np.array(chat.mask)
        begins = np.flatnonzero(mask[1:] & ~mask[:-1])
        mask[: begins[-1] + 1 if len(begins) else 0] = False
        return cls(np.array(chat.ids), mask, np.zeros(len(mask), np.float32))


class PackedTalks(NamedTuple):
    """Conversations in packed rows, and those that were left out."""

    count: int
    """Rows."""
    batch: Callable[[Sequence[int]], MicroBatch]
    """Makes a batch of some of them."""
    dropped: list[str]
    """Why, with the name of the conversation."""
    stops: list[int]
    """Special ids that end the answers."""


class ScoredText(NamedTuple):
    """Ids of a conversation, and where a reward model scores it."""

    ids: np.ndarray
    """(T,)."""
    labels: np.ndarray
    """(T,) 1 or 0 where it is scored, good or not; -1 elsewhere."""
    margin: float = 0.0
    """How much better than the other answer of its pair it was said to be."""

    @property
    def length(self) -> int:
        """Positions that it takes."""
        return len(self.ids)

    def columns(self) -> dict[str, np.ndarray | float]:
        """What rows hold of it."""
        return {"ids": self.ids, "targets": self.labels, "advantages": self.margin}


Group = Sequence[RenderedAnswer]
Packable = RenderedAnswer | ScoredText
Compared = TypeVar("Compared", bound=Sequence[Packable])
"""A group of either kind."""


def pack_groups(groups: Sequence[Sequence[Packable]], length: int) -> MicroBatch:
    """Pack groups into rows of at most `length` positions, or SHORT_ROW if all groups fit."""
    sizes = {at: sum(each.length for each in group) for at, group in enumerate(groups)}
    length = min(length, max(SHORT_ROW, *sizes.values(), 0))
    rows, starts = first_fit(sizes, length), np.cumsum([0, *map(len, groups)])
    made = empty_rows(len(rows), max((sum(sizes[at] for at in row) for row in rows), default=0))
    for row, members in enumerate(rows):
        end = 0
        for at in sorted(members):  # ascending numbers let the fast kernels run: mask.py
            made["weights"][row, end] = 1.0
            for number, answer in enumerate(groups[at], starts[at]):
                start, end = end, end + answer.length
                made["documents"][row, start:end] = number
                made["positions"][row, start:end] = np.arange(answer.length)
                for name, values in answer.columns().items():
                    made[name][row, start:end] = values
    return batch_of_rows(made)


def empty_rows(rows: int, positions: int) -> dict[str, np.ndarray]:
    """What a batch of rows holds, by name, all of it padding."""
    kinds, shape = {int: np.int64, float: np.float32}, (rows, positions)
    return {name: np.full(shape, value, kinds[type(value)]) for name, value in FILLINGS.items()}


def batch_of_rows(made: Mapping[str, np.ndarray], branches: Branches | None = None) -> MicroBatch:
    """A batch of filled rows, which may fork."""
    tensors = {name: torch.from_numpy(values) for name, values in made.items()}
    batch = MicroBatch(tensors["ids"], tensors["targets"], tensors["weights"], None)
    return batch._replace(**tensors, branches=branches)


def join_rows(batches: Sequence[MicroBatch]) -> MicroBatch:
    """The rows of several batches as one, padded to the longest."""
    width = max(batch.ids.shape[1] for batch in batches)
    joined = {
        name: torch.cat([
            pad(getattr(batch, name), (0, width - batch.ids.shape[1]), value=float(filling))
            for batch in batches
        ])
        for name, filling in FILLINGS.items()
    }  # fmt: skip
    return batches[0]._replace(**joined)


def answer_states(model: nn.Module, batch: MicroBatch) -> Float[Tensor, "N D"]:
    """The hidden states that predict the tokens of the answers, row by row."""
    forked = {} if batch.branches is None else {"branches": batch.branches}
    hidden = model(batch.ids, documents=batch.documents, positions=batch.positions, **forked)
    return hidden[batch.targets != PADDING]


def target_logprobs(
    model: Transformer, batch: MicroBatch, vocab_size: int | None = None, *,
    states: Float[Tensor, "N D"] | None = None,
) -> Float[Tensor, " N"]:  # fmt: skip
    """Log-probability of each token of the answers, nats, row by row.

    vocab_size  ids that can be drawn; None: all
    states      of `answer_states`; None: computed
    """
    is_answer = batch.targets != PADDING
    states = answer_states(model, batch) if states is None else states
    return token_logprobs(
        model.output_states(states), model.head[:vocab_size], batch.targets[is_answer],
        bias=None if model.lm_bias is None else model.lm_bias[:vocab_size],
        softcap=model.config.output.softcap,
    )  # fmt: skip


@torch.no_grad()
def values_of_targets(
    items: Sequence[Packable], length: int, device: torch.device,
    compute: Callable[[MicroBatch], Tensor],
) -> list[np.ndarray]:  # fmt: skip
    """What a model gives the targets of each item: (n, …) of its n targets, in their order.

    length   positions of a row, at most
    compute  gives the targets of a batch, row by row, a value or several each
    """
    found = [np.zeros(0)] * len(items)
    for members in batches_of([each.length for each in items], length):
        batch = pack_groups([[items[at]] for at in members], length)
        assert batch.documents is not None, "see pack_groups"
        owner = batch.documents[batch.targets != PADDING].numpy()
        values = compute(batch_to_device(batch, device)).float().cpu().numpy()
        for number, at in enumerate(members):
            found[at] = values[owner == number]
    return found


def with_reference(
    model: Transformer, answers: Sequence[RenderedAnswer], length: int,
    vocab_size: int | None = None,
) -> list[RenderedAnswer]:  # fmt: skip
    """Answers with the log-probabilities that a model gives them now, in rows of some length.

    vocab_size  ids that can be drawn; None: all
    """
    was_training = model.training
    compute = partial(target_logprobs, model.eval(), vocab_size=vocab_size)
    logprobs = values_of_targets(answers, length, model.head.device, compute)
    model.train(was_training)
    return [each.with_reference(own) for each, own in zip(answers, logprobs, strict=True)]


def leave_out_long(
    draft: Draft, split: str, groups: Sequence[Compared], prompts: Sequence[Conversation],
    max_length: int,
) -> list[Compared]:  # fmt: skip
    """The groups whose texts all fit; the others are named by their prompts."""
    sizes = [max(len(each.ids) for each in group) for group in groups]
    name_long(draft, split, max_length, [
        f"{' '.join(prompt[-1].content.split())[:80]!r} with an answer has {size} tokens."
        for prompt, size in zip(prompts, sizes, strict=True) if size > max_length
    ])  # fmt: skip
    return [each for each, size in zip(groups, sizes, strict=True) if size <= max_length]


def name_long(draft: Draft, split: str, max_length: int, reasons: Sequence[str]) -> None:
    """Say how many texts of a split are too long, the first of them, and where all are named."""
    if not reasons:
        return
    file = draft.log / f"too_long_{split}.txt"
    write_text(file, "".join(f"{reason}\n" for reason in reasons))
    record.log(f"{len(reasons)} in {split} are longer than max_length={max_length} and "
               f"left out; {file.parent.name}/{file.name} has all: {reasons[0]}")  # fmt: skip


def batches_of(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Indices of texts of some sizes, shortest first, in batches that fill some rows."""
    batches, filled = [list[int]()], 0
    for at in sorted(range(len(sizes)), key=lambda at: sizes[at]):
        if filled + sizes[at] > ROWS * length and batches[-1]:
            batches, filled = [*batches, []], 0
        batches[-1].append(at)
        filled += sizes[at]
    return batches if sizes else []


class PreferenceTrainingConfig(TrainingConfig):
    """What every training on preferences has."""

    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Number of passes over the preferences."""
    batch_answers: int = Field(default=32, ge=2)
    """Pairs, or single answers, of an optimizer step."""
    max_length: int = Field(default=1024, ge=2)
    """Tokens of a prompt with an answer, by default at most the model's context; what is longer is
    left out and counted."""
    template: str = ""
    """As of `finetune`."""
    validations: int = Field(default=2, ge=1)
    """Number of evaluations on held-out preferences during the run."""

    @property
    def row_tokens(self) -> int:
        """Positions of a row, which holds both answers of a pair."""
        return max(ROW_TOKENS, 2 * self.max_length)


def training_data(
    config: PreferenceTrainingConfig, train: Sequence[Compared], held_out: Sequence[Compared],
    make_batch: Callable[[Sequence[Compared]], MicroBatch],
) -> TrainingData:  # fmt: skip
    """Batches of groups, in another order each epoch, and held-out batches."""
    size = min(config.batch_answers, len(train))
    tokens = size * sum(each.length for group in train for each in group) // len(train)

    def batch(step: int) -> MicroBatch:
        chosen = shuffled_indices(step, size, len(train), config.seed)
        return make_batch([train[at] for at in chosen])

    starts = range(0, len(held_out), size)[:VALIDATION_BATCHES]
    return TrainingData(
        batch, max(1, round(config.epochs * len(train) / size)),
        lambda step: step * tokens, lambda step: config.row_tokens,
        {"": [make_batch(held_out[start : start + size]) for start in starts]}, is_trained_on=False,
    )  # fmt: skip
