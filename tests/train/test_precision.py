"""float16 loses no step but those that overflow, and says when the scale is not the reason."""

from collections import defaultdict

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.core import DataError
from groundup.model import (
    AttentionConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    Transformer,
)
from groundup.train import (
    LoopOptions,
    OptimConfig,
    Optimizer,
    Precision,
    RouterConfig,
    add_router_losses,
    causal_loss,
    resolve_precision,
    train,
)
from groundup.train.precision import GROWTH_INTERVAL, INITIAL_SCALE
from tests.train.test_loop import ragged_batch, tiny_model


def test_only_float16_scales_the_loss():
    assert Precision(torch.bfloat16).scale == Precision().scale == 1.0
    assert Precision(torch.float16).scale == INITIAL_SCALE


def test_the_scale_halves_on_overflow_and_doubles_after_many_calm_steps():
    precision = Precision(torch.float16, 1024.0)
    precision.record_overflow()
    assert precision.scale == 512
    for _ in range(GROWTH_INTERVAL):
        precision.record_finite_step()
    assert precision.scale == 1024


def test_at_a_scale_of_one_an_overflow_is_an_error():
    with pytest.raises(DataError, match="at any loss scale"):
        Precision(torch.float16, 1.0).record_overflow()


def test_state_goes_out_and_in():
    precision, again = Precision(torch.float16, 64.0), Precision(torch.float16)
    precision.record_finite_step()
    again.load_state(precision.state())
    assert (again.scale, again.steps_since_overflow) == (64.0, 1)


def test_a_scaled_loss_gives_the_gradient_of_an_unscaled_one():
    weights = []
    for precision in (Precision(), Precision()):
        weights.append(model := tiny_model())
        if len(weights) == 2:
            precision.scale = 4096.0  # float32 with float16's scale: a power of two, so exact
        optimizer = Optimizer(model.named_parameters(), OptimConfig(matrix_optimizer="adamw"))
        plan = LoopOptions(3, precision=precision)
        list(
            train(
                model, lambda s: [ragged_batch(seed=s)], causal_loss, optimizer, lambda s: 1.0, plan
            )
        )
    plain, scaled = (list(model.parameters()) for model in weights)
    assert all(torch.equal(a, b) for a, b in zip(plain, scaled, strict=True))


def test_steps_that_overflow_are_left_out_and_the_run_goes_on():
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    precision = Precision(torch.float16, 2.0**40)
    batches = lambda step: [ragged_batch(seed=0)]  # noqa: E731
    plan = LoopOptions(60, precision=precision)
    steps = list(train(model, batches, causal_loss, optimizer, lambda s: 1.0, plan))
    assert not steps[0].is_applied and steps[-1].is_applied
    assert steps[-1].loss < 0.6 * steps[0].loss


@pytest.mark.parametrize("seed", range(4))
def test_the_scale_moves_as_torchs_own(seed: int, monkeypatch):
    """Oracle: torch.amp.GradScaler over the same planted overflows."""
    monkeypatch.setattr("groundup.train.precision.GROWTH_INTERVAL", 3)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=3)
    own = Precision(torch.float16, 2.0**12)
    overflows = torch.rand(36, generator=torch.Generator().manual_seed(seed)) < 0.2
    for overflow in overflows.tolist():
        weight.grad = torch.full((1,), float("inf") if overflow else 1.0)
        scaler.scale(torch.ones(()))
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        own.record_overflow() if overflow else own.record_finite_step()
        assert own.scale == scaler.get_scale()
    assert overflows.any()


def test_a_precision_has_a_name_and_auto_is_measured(monkeypatch):
    place = torch.device("cpu")
    assert resolve_precision("float16", place).dtype == torch.float16
    assert resolve_precision("float32", place).dtype == torch.float32
    for measured in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("groundup.core.device.compute_dtype", lambda _: measured)  # noqa: B023
        assert resolve_precision("auto", place).dtype == measured


class Seeing(TorchDispatchMode):
    """Notes the dtypes of what every operation reads that is no number of a place."""

    def __init__(self):
        super().__init__()
        self.seen = defaultdict(set)

    def __torch_dispatch__(self, op, types, inputs=(), settings=None):
        leaves = torch.utils._pytree.tree_leaves((inputs, settings))
        read = [t for t in leaves if isinstance(t, Tensor) and t.is_floating_point() and t.ndim]
        self.seen[op.overloadpacket.__name__] |= {t.dtype for t in read}
        return op(*inputs, **(settings or {}))


EXACT = {
    "_softmax", "_softmax_backward_data", "_log_softmax", "rsqrt", "pow", "mean", "logsumexp",
    "exp", "cos", "sin", "topk", "embedding", "embedding_dense_backward", "sqrt",
    "_foreach_lerp_", "_foreach_addcmul_", "_foreach_addcdiv_", "_foreach_sqrt", "_foreach_norm",
    "_foreach_mul_",
}  # fmt: skip
"""Operations that read float32 alone: norms, softmaxes, rotation, router, loss and optimizer."""
PRODUCTS = {"addmm", "bmm"}
"""Operations that read the compute dtype alone; `mm` serves routers too, and float32 there."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_stays_float32_is_what_is_said_to(dtype: torch.dtype, monkeypatch):
    monkeypatch.setenv("GROUNDUP_SOFTMAX", "torch")  # the loops in C++ have tests of their own
    model = tiny_with_experts()
    optimizer = Optimizer(model.named_parameters(), OptimConfig(matrix_optimizer="adamw"))
    loss, plan = (
        add_router_losses(causal_loss, RouterConfig(), 2),
        LoopOptions(1, precision=Precision(dtype, 256.0)),
    )
    with Seeing() as seeing:
        list(train(model, lambda s: [ragged_batch()], loss, optimizer, lambda s: 1.0, plan))
    seen = {name: dtypes for name, dtypes in seeing.seen.items() if dtypes}
    assert seen["_softmax"] and seen["_log_softmax"] and seen["rsqrt"] and seen["topk"]
    for name in EXACT & seen.keys():
        assert seen[name] == {torch.float32}, name
    for name in PRODUCTS & seen.keys():
        assert seen[name] == {dtype}, name
    assert seen["mm"] == {torch.float32, dtype}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(t.dtype == torch.float32 for t in optimizer.state().values() if t.ndim)


def tiny_with_experts() -> Transformer:
    """Every part that must be exact, in two layers: rotation, norms of queries, a router."""
    config = ModelConfig(
        vocab_size=32, width=16, layers=2, context_length=16, norm=NormConfig(),
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=8, qk_norm="head"),
        feedforward=FeedForwardConfig(width=32, experts=ExpertsConfig(count=4)),
    )  # fmt: skip
    return Transformer(config, seed=0)


def test_gradients_and_the_residual_are_float32():
    model = tiny_model()
    kept = []
    hooks = [
        layer.register_forward_hook(lambda *given: kept.append(given[2].dtype))
        for layer in model.layers
    ]
    with Precision(torch.bfloat16).autocast("cpu"):
        found = causal_loss(model, ragged_batch())
    found.total.backward()
    assert kept == [torch.float32] * 2 and found.total.dtype == torch.float32 and len(hooks) == 2
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
