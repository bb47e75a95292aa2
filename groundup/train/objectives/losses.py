"""Losses, as functions `loss(model, batch) -> LossSum`.

A loss is a sum and the weight it was summed over, never a mean: the loop divides once, by the
weight of the step; dividing earlier would make gradients depend on how a batch was split. A
sequence-level loss, such as a class, is weighted in target tokens, so one division serves both. In
text classification a sequence is one text, and its class is one target.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from groundup.core import Config, DataError
from groundup.kernels import LossSum, LossTerms, cross_entropy
from groundup.model import ModelWithHead, Transformer, balance_loss, z_loss

from ..batches import MicroBatch
from ..parallel.tensor import parallel_cross_entropy


class Routing(NamedTuple):
    """Router logits of one forward pass, a tensor (N, E) for each layer with experts."""

    source: list[Tensor]
    """Of an encoder-decoder's encoder."""
    target: list[Tensor]


def causal_loss(model: Transformer, batch: MicroBatch, routing: Routing | None = None) -> LossSum:
    """Cross-entropy of each next token, in nats, summed over weighted targets."""
    noted = None if routing is None else routing.target
    hidden = model(
        batch.ids, positions=batch.positions, documents=batch.documents, prefix=batch.prefix,
        routing=noted,
    )  # (B, T, D)  # fmt: skip
    return token_loss(model, hidden, batch.targets, batch.weights)


def masked_loss(model: Transformer, batch: MicroBatch, routing: Routing | None = None) -> LossSum:
    """Cross-entropy of each masked token, in nats; other positions' logits are not computed."""
    hidden = _hidden_states(model, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    return _selected_loss(model, model.output_states(hidden[chosen]), batch, chosen)


def span_boundary_loss(
    model: ModelWithHead, batch: MicroBatch, routing: Routing | None = None
) -> LossSum:
    """SpanBERT's losses of each token of a masked span: by its own state, and by the span's edges.

    L(x_i) = -log p(x_i | h_i) - log p(x_i | h_{s-1}, h_{e+1}, p_{i-s+1})
    """
    assert batch.edges is not None, "the objective's batches have edges"
    body = _unwrap_head(model)
    hidden = _hidden_states(body, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    own = _selected_loss(body, body.output_states(hidden[chosen]), batch, chosen)
    row = torch.arange(len(hidden), device=hidden.device)[:, None].expand_as(chosen)[chosen]
    left, right, offset = batch.edges[chosen].unbind(-1)  # (N,) each
    by_edges = model.head(hidden[row, left], hidden[row, right], offset)
    return LossSum(own.total + _selected_loss(body, by_edges, batch, chosen).total, own.weight)


def next_sentence_loss(
    model: ModelWithHead, batch: MicroBatch, routing: Routing | None = None
) -> LossSum:
    """BERT's two losses: each masked token, and whether the second text follows the first."""
    assert batch.labels is not None and batch.label_weights is not None, "pairs have labels"
    body = _unwrap_head(model)
    hidden = _hidden_states(body, batch, routing)  # (B, T, D)
    chosen = batch.weights > 0
    own = _selected_loss(body, body.output_states(hidden[chosen]), batch, chosen)
    logits = model.head(hidden, batch.documents)  # (B, 2)
    nats = F.cross_entropy(logits.float(), batch.labels, reduction="none")
    return LossSum(own.total + (nats * batch.label_weights).sum(), own.weight)


def sequence_to_sequence_loss(
    model: Transformer, batch: MicroBatch, routing: Routing | None = None
) -> LossSum:
    """Sequence-to-sequence: cross-entropy of each next target token, given the source."""
    assert batch.source is not None, "an encoder–decoder's batches have a source"
    encoder_routing, decoder_routing = (None, None) if routing is None else routing
    source = model.encode(batch.source, documents=batch.source_documents, routing=encoder_routing)
    hidden = model(batch.ids, documents=batch.documents, encoded=source, routing=decoder_routing)
    return token_loss(model, hidden, batch.targets, batch.weights)


def token_loss(
    model: Transformer,
    hidden: Float[Tensor, "B T D"],
    targets: Int[Tensor, "B T"],
    weights: Float[Tensor, "B T"],
) -> LossSum:
    """Cross-entropy of target tokens from hidden states."""
    flat = weights.flatten()
    total = _output_cross_entropy(
        model, model.output_states(hidden).flatten(0, 1), targets.flatten(), flat,
        compiled=model.is_compiled and model.training,
    )  # fmt: skip
    return LossSum(total, flat.sum(dtype=torch.float64))


def _output_cross_entropy(
    model: Transformer,
    read: Float[Tensor, "N D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    compiled: bool = False,
) -> Float[Tensor, ""]:
    """Weighted cross-entropy through the output embedding, which may be sharded by ids."""
    softcap = model.config.output.softcap
    terms = model.loss_terms if model.training else LossTerms()
    head, bias = model.head, model.lm_bias
    if isinstance(head, DTensor):
        assert bias is None or isinstance(bias, DTensor), "both are sharded by ids"
        assert terms == LossTerms(), "preflight rejects loss terms with a sharded vocabulary"
        return parallel_cross_entropy(read, head, targets, weights, bias=bias, softcap=softcap)
    return cross_entropy(
        read, head, targets, weights, bias=bias, softcap=softcap, compiled=compiled, terms=terms
    )


def _selected_loss(
    model: Transformer, read: Float[Tensor, "N D"], batch: MicroBatch, chosen: Tensor
) -> LossSum:
    """Cross-entropy of chosen positions, from the inputs of the output embedding."""
    weights = batch.weights[chosen]
    total = _output_cross_entropy(model, read, batch.targets[chosen], weights)
    return LossSum(total, weights.sum(dtype=torch.float64))


def _hidden_states(
    model: Transformer, batch: MicroBatch, routing: Routing | None
) -> Float[Tensor, "B T D"]:
    noted = None if routing is None else routing.target
    return model(
        batch.ids, positions=batch.positions, documents=batch.documents, types=batch.types,
        routing=noted,
    )  # fmt: skip


def _unwrap_head(model: ModelWithHead) -> Transformer:
    assert isinstance(model.model, Transformer), "an objective's head is on a Transformer"
    return model.model


class RouterConfig(Config):
    """Router losses, added for each layer with experts."""

    balance: float = Field(default=0.01, ge=0)
    """Factor of the load-balancing loss (Switch: 0.01)."""
    z: float = Field(default=0.001, ge=0)
    """Factor of the router z-loss, which keeps logits small (ST-MoE: 0.001)."""


def add_router_losses(
    loss: Callable[[Transformer, MicroBatch, Routing | None], LossSum],
    config: RouterConfig,
    chosen: int,
    *,
    add: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[Transformer, MicroBatch], LossSum]:
    """Add the router losses to a loss, each a mean over a micro-batch's real tokens.

        total + weight * sum over layers of (balance * E sum_e f_e P_e + z * mean logsumexp²)

    Load is balanced per micro-batch, as it is per device in the papers; over a step both are means
    over its micro-batches, weighted by their targets. Padding is excluded.

    add  sums a tensor over the processes that share a micro-batch; None: only one process
    """

    def with_router_losses(model: Transformer, batch: MicroBatch) -> LossSum:
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

    return with_router_losses


def class_batch(
    rows: Sequence[list[int]], labels: Sequence[int], *, padding: int = 0
) -> MicroBatch:
    """A batch of texts with one label each, padded to the longest.

    >>> batch = class_batch([[5, 6], [7]], [1, 0])
    >>> batch.documents.tolist(), batch.weights.tolist()
    ([[0, 0], [0, -1]], [[1.0, 0.0], [1.0, 0.0]])

    Raises DataError if a text is empty, or the numbers of texts and labels differ.
    """
    if len(rows) != len(labels) or not all(rows):
        raise DataError(
            f"Got {len(rows)} texts ({sum(not row for row in rows)} of them empty) and "
            f"{len(labels)} labels; every text needs a token and a label."
        )
    T = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding] * (T - len(row))] for row in rows])
    documents = torch.tensor([[0] * len(row) + [-1] * (T - len(row)) for row in rows])
    weights = torch.zeros(len(rows), T)
    weights[:, 0] = 1.0
    return MicroBatch(
        ids, torch.zeros_like(ids), weights, documents,
        labels=torch.tensor(list(labels)), label_weights=torch.ones(len(rows)),
    )  # fmt: skip


def classification_loss(model: ModelWithHead, batch: MicroBatch) -> LossSum:
    """Cross-entropy of each sequence's class, in nats."""
    assert batch.labels is not None and batch.label_weights is not None, "texts have labels"
    logits = model(batch.ids, documents=batch.documents, types=batch.types)  # (B, labels)
    nats = F.cross_entropy(logits.float(), batch.labels, reduction="none")
    return LossSum((nats * batch.label_weights).sum(), batch.label_weights.sum())
