"""A decoder of any shape gives the gradients of one process when its matrices are divided."""

import pytest
import torch

from groundup.core import ConfigError
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
from groundup.train.parallel.tensor import check_tensor_parallel
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
