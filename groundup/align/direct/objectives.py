"""Preference losses as the training loop takes them: of batches of packed answers.

Pairs add up over micro-batches. KTO's usual change is one number of a step, so it is taken first,
over all its micro-batches and without gradients.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.kernels import LossSum
from groundup.model import Transformer
from groundup.train import MicroBatch, Precision

from ..packing import PADDING, target_logprobs
from .losses import Answers, PreferenceLossConfig, kto, preference_losses

BAD, GOOD, OTHER = 0, 1, 2
"""Labels of KTO's rows; those of OTHER hold answers to other prompts."""


class PairObjective(NamedTuple):
    """The loss of pairs, summed over a micro-batch's."""

    config: PreferenceLossConfig

    def __call__(self, model: Transformer, batch: MicroBatch, routing: object = None) -> LossSum:
        """Nats of a micro-batch, and its number of pairs."""
        both = answer_logprobs(model, batch)
        chosen, rejected = (Answers(*(values[side::2] for values in both)) for side in (0, 1))
        total = preference_losses(chosen, rejected, self.config).sum()
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
        parts = [answer_logprobs(model, rows).change for rows in map(_others, batches)
                 if len(rows.ids)]  # fmt: skip
        return torch.cat(parts).mean() if parts else torch.zeros(())

    def total(self, model: Transformer, batch: MicroBatch, other: Float[Tensor, ""]) -> LossSum:
        """Nats of a micro-batch's own answers."""
        own = _rows_of(batch, batch.labels != OTHER)
        answers, weight = answer_logprobs(model, own), own.weights.sum(dtype=torch.float64)
        assert own.documents is not None and own.labels is not None, "see pack_groups"
        first = torch.unique(own.documents[own.documents >= 0], return_inverse=True)[1]
        rows = torch.arange(len(own.ids), device=own.ids.device)[:, None].expand_as(own.ids)
        row = torch.zeros_like(answers.tokens, dtype=torch.long)
        row[first] = rows[own.documents >= 0]
        is_good = own.labels[row] == GOOD
        return LossSum(kto(answers, is_good, other, self.config).sum(), weight)

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
                if not bool((batch.labels != OTHER).any()):
                    continue
                with precision.autocast(device_type):
                    total = self.total(model, batch, other).total / weight
                (total * precision.scale).backward()
                loss += float(total.detach())
            return loss

        return gradients


def answer_logprobs(model: Transformer, batch: MicroBatch) -> Answers:
    """Log-probabilities of a batch's answers, in the order of their groups."""
    assert batch.documents is not None and batch.reference is not None, "see pack_groups"
    is_answer = batch.targets != PADDING  # (B, T)
    policy = target_logprobs(model, batch)
    _, answer = torch.unique(batch.documents[is_answer], return_inverse=True)  # (N,)
    count = int(answer.max()) + 1 if len(answer) else 0

    def total(values: Float[Tensor, " N"]) -> Float[Tensor, " A"]:
        return values.new_zeros(count).index_add(0, answer, values)

    reference = batch.reference[is_answer].to(policy.dtype)
    return Answers(total(policy), total(reference), total(torch.ones_like(policy)))


def _others(batch: MicroBatch) -> MicroBatch:
    return _rows_of(batch, batch.labels == OTHER)


def _rows_of(batch: MicroBatch, chosen: Tensor) -> MicroBatch:
    kept = {n: v[chosen] for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    return batch._replace(**kept)
