"""Losses: what a model loses on a batch, as functions `loss(model, batch) -> LossSum`.

A loss is a sum and the weight it was summed over, never a mean: the loop divides once, by the
weight of the whole step. Dividing earlier makes gradients depend on how a batch was split. A second
loss of a row, its class, comes weighted in targets, so that the one division serves both.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from groundup.core import Config
from groundup.kernels import LossSum, LossTerms, cross_entropy
from groundup.model import Transformer, WithHead, balance_loss, z_loss

from ..batches import Batch
from ..parallel.vocabulary import parallel_cross_entropy


class Routing(NamedTuple):
    """Router logits of one pass, a tensor (N, E) for each layer with experts."""

    source: list[Tensor]
    """Of the encoder beside a decoder."""
    target: list[Tensor]


def causal(model: Transformer, batch: Batch, routing: Routing | None = None) -> LossSum:
    """Cross-entropy of each next token, in nats, summed over weighted targets."""
    noted = None if routing is None else routing.target
    hidden = model(
        batch.ids, positions=batch.positions, documents=batch.documents, prefix=batch.prefix,
        routing=noted,
    )  # (B, T, D)  # fmt: skip
    return token_loss(model, hidden, batch.targets, batch.weights)


def masked(model: Transformer, batch: Batch, routing: Routing | None = None) -> LossSum:
    """Cross-entropy of each hidden token, in nats; logits of the others are never made."""
    hidden = encoded(model, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    return picked_loss(model, model.readout(hidden[chosen]), batch, chosen)


def boundary(model: WithHead, batch: Batch, routing: Routing | None = None) -> LossSum:
    """SpanBERT's two losses of each token of a hidden span: of its own state, and of its edges'.

    L(x_i) = -log p(x_i | h_i) - log p(x_i | h_{s-1}, h_{e+1}, p_{i-s+1})
    """
    assert batch.edges is not None, "the objective's batches have edges"
    body = whole(model)
    hidden = encoded(body, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    own = picked_loss(body, body.readout(hidden[chosen]), batch, chosen)
    row = torch.arange(len(hidden), device=hidden.device)[:, None].expand_as(chosen)[chosen]
    left, right, place = batch.edges[chosen].unbind(-1)  # (N,) each
    told = model.head(hidden[row, left], hidden[row, right], place)
    return LossSum(own.total + picked_loss(body, told, batch, chosen).total, own.weight)


def next_sentence(model: WithHead, batch: Batch, routing: Routing | None = None) -> LossSum:
    """BERT's two losses: of each hidden token, and of whether the second text follows the first."""
    assert batch.labels is not None and batch.label_weights is not None, "pairs have labels"
    body = whole(model)
    hidden = encoded(body, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    own = picked_loss(body, body.readout(hidden[chosen]), batch, chosen)
    logits = model.head(hidden, batch.documents)  # (B, 2)
    nats = F.cross_entropy(logits.float(), batch.labels, reduction="none")
    return LossSum(own.total + (nats * batch.label_weights).sum(), own.weight)


def sequence(model: Transformer, batch: Batch, routing: Routing | None = None) -> LossSum:
    """Cross-entropy of each next token of the target, given the whole source."""
    assert batch.source is not None, "an encoder–decoder's batches have a source"
    read, wrote = (None, None) if routing is None else routing
    source = model.encode(batch.source, documents=batch.source_documents, routing=read)
    hidden = model(batch.ids, documents=batch.documents, encoded=source, routing=wrote)
    return token_loss(model, hidden, batch.targets, batch.weights)


def token_loss(
    model: Transformer,
    hidden: Float[Tensor, "B T D"],
    targets: Int[Tensor, "B T"],
    weights: Float[Tensor, "B T"],
) -> LossSum:
    """Cross-entropy of the tokens that a model reads off its hidden states."""
    flat = weights.flatten()
    total = nats(
        model, model.readout(hidden).flatten(0, 1), targets.flatten(), flat,
        compiled=model.is_compiled and model.training,
    )  # fmt: skip
    return LossSum(total, flat.sum(dtype=torch.float64))


def nats(
    model: Transformer,
    read: Float[Tensor, "N D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    compiled: bool = False,
) -> Float[Tensor, ""]:
    """Weighted nats of tokens read off a model's output embedding, whole or divided by ids."""
    softcap = model.config.output.softcap
    terms = model.loss_terms if model.training else LossTerms()
    head, bias = model.head, model.lm_bias
    if isinstance(head, DTensor):
        assert bias is None or isinstance(bias, DTensor), "ids are divided in both"
        assert terms == LossTerms(), "preflight refuses terms where ids are divided"
        return parallel_cross_entropy(read, head, targets, weights, bias=bias, softcap=softcap)
    return cross_entropy(
        read, head, targets, weights, bias=bias, softcap=softcap, compiled=compiled, terms=terms
    )


def picked_loss(
    model: Transformer, read: Float[Tensor, "N D"], batch: Batch, chosen: Tensor
) -> LossSum:
    """Cross-entropy of chosen tokens, of what meets the output embedding."""
    weights = batch.weights[chosen]
    total = nats(model, read, batch.targets[chosen], weights)
    return LossSum(total, weights.sum(dtype=torch.float64))


def encoded(model: Transformer, batch: Batch, routing: Routing | None) -> Float[Tensor, "B T D"]:
    """Hidden states of a batch's ids."""
    noted = None if routing is None else routing.target
    return model(
        batch.ids, positions=batch.positions, documents=batch.documents, types=batch.types,
        routing=noted,
    )  # fmt: skip


def whole(model: WithHead) -> Transformer:
    """The model under a head."""
    assert isinstance(model.model, Transformer), "a head of an objective stands on a Transformer"
    return model.model


class RouterConfig(Config):
    """What keeps the routers of experts useful, added to the loss of each layer that has one."""

    balance: float = Field(default=0.01, ge=0)
    """Factor of the loss that is least when all experts get equal work (Switch: 0.01)."""
    z: float = Field(default=0.001, ge=0)
    """Factor of the loss that keeps the router's logits small (ST-MoE: 0.001)."""


def routed(
    loss: Callable[[Transformer, Batch, Routing | None], LossSum],
    config: RouterConfig,
    chosen: int,
    *,
    add: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[Transformer, Batch], LossSum]:
    """A loss with the routers' losses added, each the mean over a micro-batch's real tokens.

        total + weight * sum over layers of (balance * E sum_e f_e P_e + z * mean logsumexp²)

    Work is balanced within a micro-batch, as it is within a device in the papers: over a step both
    are means over its micro-batches, weighted by their targets. Padding is part of neither.

    add  sums a tensor over the processes that compute a micro-batch together; None: one does
    """

    def found(model: Transformer, batch: Batch) -> LossSum:
        routing = Routing([], [])
        own = loss(model, batch, routing)
        sides = ((routing.source, batch.source_documents), (routing.target, batch.documents))
        extra = own.total.new_zeros(())
        for layers, documents in sides:
            is_real = None if documents is None else (documents >= 0).flatten()
            for logits in layers:
                extra = extra + config.balance * balance_loss(logits, chosen, is_real, add)
                extra = extra + config.z * z_loss(logits, is_real, add)
        return LossSum(own.total + own.weight.to(extra.dtype) * extra, own.weight)

    return found
