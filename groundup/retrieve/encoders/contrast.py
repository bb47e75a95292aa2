"""The contrastive loss of pairs, and its gradient in two passes for batches of any size.

    loss = -log( exp(s(q, p+) / τ) / sum over allowed p of exp(s(q, p) / τ) )        InfoNCE
         + λ KL( softmax of a teacher's scores | softmax of s(q, p) / τ )             distillation

The second sum is over a query's own passage and its hard negatives, which a cross-encoder has read.
Each passage of a batch is a negative of each query, unless it may answer it. The loss is of the
batch, and does not add up over micro-batches; two passes give its exact gradient with the memory of
one: embed all without a graph, take the gradient with respect to the embeddings, then embed each
micro-batch again and continue backwards from there. Knows no texts, only ids.
Source: van den Oord et al. 2018, arXiv:1807.03748; Gao et al. 2021, arXiv:2101.06983 (two passes);
Ren et al. 2021, arXiv:2110.07367 (RocketQAv2, distillation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.kernels import LossSum
from groundup.train import MicroBatch, Precision


class EncodedText(NamedTuple):
    """A query or a passage."""

    ids: Sequence[int]
    document: int  # its number, from 0


class Positives(NamedTuple):
    """Which passages answer which queries."""

    own: Int[Tensor, " B"]
    """Index of each query's own passage."""
    allowed: Bool[Tensor, "B P"]
    """Which passages each query is compared with: its own one, and those that do not answer it."""
    taught: Float[Tensor, "B P"] | None = None
    """A teacher's scores of each query's own passage and hard negatives, else -inf."""


class Embedded(NamedTuple):
    """Vectors of a step's or a micro-batch's texts."""

    queries: Float[Tensor, "B D"]
    passages: Float[Tensor, "P D"]


def contrastive_batch(
    queries: Sequence[EncodedText], passages: Sequence[EncodedText], length: int,
    taught: Sequence[tuple[int, float]] = (),
) -> MicroBatch:  # fmt: skip
    """A batch of the training loop: passages as its sequences, queries as their source.

    passages  first each query's own one, in the order of queries, then negatives
    length    ids to which all are padded
    taught    each passage's query and a teacher's score of both, if there is a teacher

    Passages are put in the order of their lengths, so that micro-batches have little padding;
    `labels` says where each query's own one is. A target is one query.

    >>> passages = [EncodedText([6, 7], 4), EncodedText([8], 5)]
    >>> batch = contrastive_batch([EncodedText([5], 4)], passages, 3)
    >>> batch.ids.tolist(), batch.documents.tolist(), batch.labels.tolist()
    ([[8, 0, 0], [6, 7, 0]], [[5, -1, -1], [4, 4, -1]], [1])
    """
    order = sorted(range(len(passages)), key=lambda place: len(passages[place].ids))
    labels = torch.tensor([order.index(place) for place in range(len(queries))])
    source, ids = _pad(queries, length), _pad([passages[place] for place in order], length)
    weights = torch.zeros(ids[0].shape)
    weights[labels, 0] = 1
    targets, scores = torch.zeros_like(ids[0]), None
    if taught:  # the query of a passage stands in its first target, which is no token's here
        targets[:, 0] = torch.tensor([taught[place][0] for place in order])
        scores = torch.tensor([taught[place][1] for place in order])
    return MicroBatch(
        ids[0], targets, weights, ids[1], source=source[0], source_documents=source[1],
        labels=labels, label_weights=scores,
    )  # fmt: skip


def _pad(texts: Sequence[EncodedText], length: int) -> Int[Tensor, "2 R T"]:
    """Ids, and document numbers with -1 for padding."""
    padded = torch.stack([torch.zeros(len(texts), length), -torch.ones(len(texts), length)]).long()
    for i, text in enumerate(texts):
        padded[0, i, : len(text.ids)] = torch.tensor(text.ids, dtype=torch.long)
        padded[1, i, : len(text.ids)] = text.document
    return padded


def find_positives(batches: Sequence[MicroBatch]) -> Positives:
    """Which passages of a step's micro-batches answer which of its queries.

    A passage may answer a query that is not its own if both are of one document, if it is a copy of
    the query's own passage, or if it is the own passage of a query with the same ids.
    """
    names = ("ids", "documents", "source", "source_documents", "labels")
    ids, documents, source, source_documents, own = (
        torch.cat([getattr(batch, name) for batch in batches]) for name in names
    )
    passage, query = (
        torch.unique(torch.where(numbers < 0, -1, rows), dim=0, return_inverse=True)[1]
        for rows, numbers in ((ids, documents), (source, source_documents))
    )  # equal numbers for equal texts
    same_query, is_copy = query == query[:, None], passage == passage[own][:, None]
    answers = same_query.float() @ is_copy.float() > 0  # (B, P)
    answers |= documents.amax(1) == source_documents.amax(1)[:, None]
    answers[torch.arange(len(own), device=own.device), own] = False
    return Positives(own, ~answers, _taught_scores(batches, answers))


def _taught_scores(batches: Sequence[MicroBatch], like: Tensor) -> Float[Tensor, "B P"] | None:
    scores = [batch.label_weights for batch in batches if batch.label_weights is not None]
    if not scores:
        return None
    queries = torch.cat([batch.targets[:, 0] for batch in batches])
    taught = torch.full(like.shape, float("-inf"), device=like.device)
    taught[queries, torch.arange(len(queries), device=like.device)] = torch.cat(scores)
    return taught


@dataclass(frozen=True)
class ContrastiveLoss:
    """InfoNCE over a batch, in nats, summed over its queries."""

    temperature: float
    teacher_weight: float = 1.0
    """Of the distillation, if there is a teacher."""

    def __call__(self, model: nn.Module, batch: MicroBatch, routing: object = None) -> LossSum:
        """The loss of one batch in one pass, as the training loop and its validation call it."""
        total = self.total(embed_pairs(model, batch), find_positives([batch]))
        return LossSum(total, batch.weights.sum(dtype=torch.float64))

    def total(self, vectors: Embedded, positives: Positives) -> Float[Tensor, ""]:
        """The loss of embeddings; computed in float32 at least."""
        wide, own = torch.promote_types(vectors.queries.dtype, torch.float32), positives.own
        with torch.autocast(vectors.queries.device.type, enabled=False):
            scores = vectors.queries.to(wide) @ vectors.passages.to(wide).mT  # (B, P)
            logits = (scores / self.temperature).masked_fill(~positives.allowed, float("-inf"))
            total = F.cross_entropy(logits, own, reduction="sum")
            if positives.taught is None:
                return total
            return total + self.teacher_weight * _distillation(
                scores / self.temperature, positives.taught.to(wide)
            )


def _distillation(logits: Float[Tensor, "B P"], taught: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """KL divergence of the student's distribution from the teacher's, nats, over queries."""
    is_read = taught.isfinite()
    student = logits.masked_fill(~is_read, float("-inf")).log_softmax(-1)
    teacher = taught.log_softmax(-1)
    gaps = (teacher - student).masked_fill(~is_read, 0.0)
    return (teacher.exp() * gaps).sum()


def embed_pairs(model: nn.Module, batch: MicroBatch) -> Embedded:
    """The vectors of a micro-batch's queries and passages, without padding that all have."""
    vectors = []
    for ids, numbers in ((batch.source, batch.source_documents), (batch.ids, batch.documents)):
        assert ids is not None and numbers is not None, "batches of pairs have both"
        longest = max(1, int((numbers >= 0).sum(1).amax())) if len(ids) else 1
        vectors.append(model(ids[:, :longest], documents=numbers[:, :longest]))
    return Embedded(*vectors)


def two_pass_gradients(
    loss: ContrastiveLoss, model: nn.Module, precision: Precision
) -> Callable[[Sequence[MicroBatch], float], float]:
    """How the training loop computes the gradients of a batch that does not fit at once."""

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        device_type, states, parts = micro_batches[0].ids.device.type, [], list[Embedded]()
        with torch.no_grad(), precision.autocast(device_type):
            for batch in micro_batches:
                states.append((torch.get_rng_state(), torch.cuda.get_rng_state_all()))
                parts.append(embed_pairs(model, batch))
        whole = Embedded(*(torch.cat(side).requires_grad_() for side in zip(*parts, strict=True)))
        total = loss.total(whole, find_positives(micro_batches)) / weight
        slopes = torch.autograd.grad(total * precision.scale, list(whole))
        shares = (slope.split([len(part[i]) for part in parts]) for i, slope in enumerate(slopes))
        for batch, state, *share in zip(micro_batches, states, *shares, strict=True):
            torch.set_rng_state(state[0])  # for the same dropout masks
            torch.cuda.set_rng_state_all(state[1])
            with precision.autocast(device_type):
                again = embed_pairs(model, batch)
            torch.autograd.backward(again, share)
        return float(total.detach())

    return gradients
