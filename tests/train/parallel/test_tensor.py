"""Sharded matrices and a sharded head compute what whole ones do."""

from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from groundup.core import ConfigError
from groundup.kernels import reference_cross_entropy
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from groundup.train.parallel.tensor import check_tensor_parallel, parallel_cross_entropy
from tests.train.parallel.plans import Case, alone, far, gradients, ragged, shape, tiny
from tests.train.parallel.processes import run

SHAPES = {
    "untied": shape(tied_embeddings=False),
    "one matrix up, learned places, layer norms": shape(
        position=PositionConfig(kind="learned"), norm=NormConfig(kind="layer"),
        feedforward=FeedForwardConfig(width=24, bias=True, gated=False, activation="gelu_tanh"),
        attention=AttentionConfig(heads=2, kv_heads=2, head_dim=8, bias="all", qk_norm="none"),
    ),
    "norms around, caps, a scale, a bias of ids": shape(
        norm=NormConfig(place="sandwich", zero_centred=True), embedding=EmbeddingConfig(scale=4.0),
        output=OutputConfig(softcap=5.0, bias=True),
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8, softcap=4.0),
    ),
    "norms after, queries normed over all heads": shape(
        norm=NormConfig(place="output"), tied_embeddings=False,
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8, qk_norm="all"),
    ),
    "post norms": shape(norm=NormConfig(place="post"), embedding=EmbeddingConfig(norm=True)),
    "parallel blocks without places": shape(parallel=True, position=PositionConfig(kind="none")),
}  # fmt: skip


def test_every_shape_of_decoder_gives_the_gradients_of_one_process():
    cases = [Case("tensor=2", config=c, dtype=torch.float64) for c in SHAPES.values()]
    for name, case, found in zip(SHAPES, cases, run(2, gradients, cases)[0], strict=True):
        (one,) = gradients([alone(case)])
        assert far(found, one) < 1e-10, name


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (shape(), r"kv_heads=2 does not divide .* tensor=4.*heads=4, attention.kv_heads=2"),
        (shape(attention=AttentionConfig(heads=6, kv_heads=3)), "heads=6 does not divide"),
        (ModelConfig(feedforward=FeedForwardConfig(width=34),
                     attention=AttentionConfig(kv_heads=4)), "feedforward.width=34 does not"),
        (ModelConfig(attention=AttentionConfig(kv_heads=4), kind="encoder"), "has kind='encoder'"),
        (ModelConfig(attention=AttentionConfig(kv_heads=4),
                     position=PositionConfig(kind="alibi")), "has position.kind='alibi'"),
        (ModelConfig(attention=AttentionConfig(kv_heads=4),
                     feedforward=FeedForwardConfig(experts=ExpertsConfig())), "has experts"),
    ],
)  # fmt: skip
def test_what_does_not_divide_is_named(config: ModelConfig, told: str):
    with pytest.raises(ConfigError, match=told):
        check_tensor_parallel(config, 4)


def odd_rows() -> str:
    """What rows of 11 positions bring on two processes."""
    from torch.distributed.device_mesh import init_device_mesh

    from groundup.core import ShapeError
    from groundup.train.parallel.tensor import apply_tensor_parallel

    model = tiny(shape())
    apply_tensor_parallel(model, init_device_mesh("cpu", (2,), mesh_dim_names=("tensor",)))
    try:
        model(ragged(0, length=11).ids)
    except ShapeError as error:
        return str(error)
    return "nothing"


def test_rows_that_do_not_divide_are_refused():
    assert (
        "Sequences of 11 positions do not divide among mesh dimension tensor=2"
        in run(2, odd_rows)[0]
    )


CAPS = (None, 3.0)


class Given:
    """Tokens of which two weigh nothing, seven ids on two processes."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.hidden = torch.randn(9, 5, generator=generator, dtype=torch.float64)
        self.head = 3 * torch.randn(7, 5, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(7, generator=generator, dtype=torch.float64)
        self.targets = torch.randint(7, (9,), generator=generator)
        self.weights = torch.tensor([1, 0.5, 0, 1, 2, 1, 1, 0, 1], dtype=torch.float64)


def divided(softcap: float | None) -> list[Any]:
    """Loss and gradients, the head's ids divided; chunks of four tokens."""
    given, line = Given(), init_device_mesh("cpu", (2,), mesh_dim_names=("tensor",))
    hidden = given.hidden.requires_grad_()
    head = distribute_tensor(given.head, line, [Shard(0)]).requires_grad_()
    bias = distribute_tensor(given.bias, line, [Shard(0)]).requires_grad_()
    total = parallel_cross_entropy(
        hidden, head, given.targets, given.weights, bias=bias, softcap=softcap, chunk=4
    )
    (total * 0.5).backward()
    assert isinstance(head.grad, DTensor) and isinstance(bias.grad, DTensor)
    part = hidden.grad
    assert part is not None
    torch.distributed.all_reduce(part)
    found = (total, part, head.grad.full_tensor(), bias.grad.full_tensor())
    return [tensor.detach().tolist() for tensor in found]


@pytest.mark.parametrize("softcap", CAPS)
def test_divided_ids_give_loss_and_gradients_of_whole_ones(softcap: float | None):
    given = Given()
    leaves = [t.requires_grad_() for t in (given.hidden, given.head, given.bias)]
    logits = given.hidden @ given.head.T + given.bias
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    total = reference_cross_entropy(logits, given.targets, given.weights)
    wanted = [total, *torch.autograd.grad(0.5 * total, leaves)]
    for found in run(2, divided, softcap):
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(
                torch.tensor(ours, dtype=torch.float64), theirs.detach(), rtol=0, atol=1e-12
            )
