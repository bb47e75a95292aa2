"""Groups follow from names and rules; the optimizer steps, clips and resumes exactly."""

import pytest
import torch
from torch import nn

from groundup.core import ConfigError, documented_fields
from groundup.model import Transformer, preset
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    split_batch,
    train,
)
from groundup.train.optim.config import RuleConfig
from groundup.train.optim.optimizer import (
    GroupSettings,
    _weight_kind,
    clip_grad_norm,
    group_parameters,
    optimizer_state_bytes,
)
from tests.model.shapes import tiny_config
from tests.train.optim.moved import go, weights
from tests.train.test_loop import tiny_model

WAYS = {
    "default": {},
    "adamw in bfloat16": {"matrices": "adamw", "state": "bfloat16"},
    "adamw in 8 bits": {"matrices": "adamw", "state": "8bit"},
    "muon in 8 bits": {"state": "8bit"},
    "adafactor": {"matrices": "adafactor", "others": "adafactor"},
    "sgd": {"matrices": "sgd", "others": "sgd"},
    "bare sgd": {"matrices": "sgd", "others": "sgd", "momentum": 0.0},
    "mixed": {"rules": (RuleConfig(kinds=("vector",), optimizer="sgd"),
                        RuleConfig(names="up", optimizer="adafactor"))},
}  # fmt: skip
LARGE = {"a.up": (24, 300), "a.weight": (64, 80), "a.bias": (16,), "experts.w": (3, 40, 40)}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_cut_in_two_ends_with_the_same_bits(way):
    config = OptimConfig(**WAYS[way])
    undisturbed, stopped = weights(LARGE), weights(LARGE)
    go(Optimizer(undisturbed.items(), config), undisturbed, 0, 8)
    first = Optimizer(stopped.items(), config)
    go(first, stopped, 0, 4)
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    again = Optimizer(stopped.items(), config)
    again.load_state(state)
    assert all(torch.equal(state[name], tensor) for name, tensor in again.state().items())
    go(again, stopped, 4, 8)
    assert all(torch.equal(undisturbed[n].detach(), stopped[n].detach()) for n in LARGE)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_of_a_state_are_told_without_it(way):
    config, named = OptimConfig(**WAYS[way]), weights(LARGE)
    state = Optimizer(named.items(), config).state()
    held = sum(t.numel() * t.element_size() for name, t in state.items() if name != "steps")
    assert held == optimizer_state_bytes(named.items(), config)
    with torch.device("meta"):
        empty = {name: nn.Parameter(torch.empty(shape)) for name, shape in LARGE.items()}
    assert held == optimizer_state_bytes(empty.items(), config)


@pytest.mark.parametrize("way", ["default", "adamw in 8 bits", "adafactor", "sgd"])
def test_a_batch_in_parts_gives_the_same_step(way):
    """Up to the rounding of sums: an optimizer sees the gradient of the whole step alone."""
    losses = []
    for parts in (1, 4):
        model, config = tiny_model(), OptimConfig(**WAYS[way])
        ids = torch.randint(0, 9, (8, 17), generator=torch.Generator().manual_seed(0))
        batch = one_batch(ids)
        steps = train(
            model,
            lambda step, p=parts, b=batch: split_batch(b, p),
            causal_loss,
            Optimizer(model.named_parameters(), config),
            lambda step: 0.5,
            LoopOptions(10),
        )
        losses.append([step.loss for step in steps])
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
    assert losses[0][-1] < losses[0][0]


def one_batch(ids):
    weights = (torch.arange(16)[None] < torch.tensor([[16], [3], [9], [1]] * 2)).float()
    return MicroBatch(ids[:, :-1], ids[:, 1:], weights, None)


def test_clipping_bounds_the_step_and_tells_the_norm_before():
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), 100.0)
    optimizer = Optimizer([("w", weight)], OptimConfig(matrix_optimizer="adamw", clip=1.0))
    assert optimizer.clip_gradients() == pytest.approx(100 * 3**0.5)
    optimizer.step(1.0)
    assert weight.grad.norm() == pytest.approx(1.0, rel=1e-4)


def test_numbers_are_cut_before_the_norm_and_a_scale_is_minded():
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([8.0, -100.0, 2.0])
    optimizer = Optimizer([("w", weight)], OptimConfig(clip=0, clip_value=3.0))
    assert optimizer.clip_gradients(scale=2.0) == pytest.approx((9 + 9 + 1) ** 0.5)
    assert weight.grad.tolist() == [3.0, -3.0, 1.0]


def test_norms_of_groups_add_up_to_the_whole_norm():
    named = weights(LARGE)
    for weight in named.values():
        weight.grad = torch.ones_like(weight)
    optimizer = Optimizer(named.items(), OptimConfig(group_norms=True, clip=0.1))
    norm = optimizer.clip_gradients(scale=4.0)
    assert set(optimizer.norms) == {"muon matrix at 0.025", "adamw vector+expert at 0.004"}
    assert sum(part**2 for part in optimizer.norms.values()) == pytest.approx(norm**2)
    assert optimizer.norms["muon matrix at 0.025"] == pytest.approx((24 * 300 + 64 * 80) ** 0.5 / 4)


def test_a_state_of_another_model_is_refused():
    optimizer = Optimizer([("w", nn.Parameter(torch.zeros(3)))], OptimConfig())
    with pytest.raises(ConfigError, match="another model"):
        optimizer.load_state({"steps": torch.tensor(1)})


@pytest.mark.parametrize("odd", [torch.zeros(4), torch.zeros(3, dtype=torch.bfloat16)])
def test_a_state_that_was_kept_otherwise_is_refused_and_nothing_is_taken(odd):
    optimizer = Optimizer([("w", nn.Parameter(torch.zeros(3)))], OptimConfig())
    state = optimizer.state() | {"mean.w": torch.ones(3), "square.w": odd}
    with pytest.raises(ConfigError, match=r"square\.w"):
        optimizer.load_state(state)
    assert not optimizer.state()["mean.w"].any()


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="no trainable"):
        Optimizer([("w", nn.Parameter(torch.zeros(3), requires_grad=False))], OptimConfig())


def test_an_embedding_moves_far_only_where_it_is_input_alone():
    steps = {}
    for tied in (True, False):
        model = Transformer(tiny_config(tied=tied), seed=0)
        optimizer = Optimizer(model.named_parameters(), OptimConfig(clip=0))
        before = model.embed_tokens.weight.detach().clone()
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step(1.0)
        steps[tied] = float((model.embed_tokens.weight - before).detach().abs().mean())
    assert steps[True] == pytest.approx(4e-3, rel=1e-3)
    assert steps[False] == pytest.approx(0.2, rel=1e-3)


def by_name(config: OptimConfig, model: nn.Module) -> dict[str, GroupSettings]:
    found = group_parameters(dict(model.named_parameters()), config)
    return {name: group for group, own in found.items() for name in own}


def test_matrices_of_blocks_go_to_muon_and_nothing_else_does():
    found = by_name(OptimConfig(), tiny_model())
    assert all((g.optimizer == "muon") == ("proj" in name) for name, g in found.items())
    assert {"muon", "adamw"} == {group.optimizer for group in found.values()}


def test_matrices_decay_and_vectors_do_not():
    found = by_name(OptimConfig(weight_decay=0.1), tiny_model())
    for name, weight in tiny_model().named_parameters():
        assert found[name].decay == (0.1 if weight.ndim >= 2 else 0.0)


def test_every_kind_is_known_by_name_and_dimensions():
    with torch.device("meta"):
        model = Transformer(preset("mixtral-tiny").config, seed=None)
    kinds = {name: _weight_kind(name, weight) for name, weight in model.named_parameters()}
    assert kinds["embed_tokens.weight"] == "embedding" and kinds["lm_head.weight"] == "head"
    assert kinds["norm.weight"] == "vector"
    assert kinds["layers.0.experts.up_proj"] == "expert"
    assert kinds["layers.0.experts.router.weight"] == "matrix"


def test_the_first_rule_that_fits_counts_and_changes_only_what_it_says():
    rules = (
        RuleConfig(names=r"layers\.0\.", kinds=("matrix",), learning_rate=0.5),
        RuleConfig(kinds=("matrix",), optimizer="sgd", state="bfloat16", weight_decay=0.2),
        RuleConfig(names="norm", learning_rate=0),
    )
    found = by_name(OptimConfig(rules=rules), Transformer(preset("llama-tiny").config, seed=0))
    q = "attention.q_proj.weight"
    assert found[f"layers.0.{q}"] == GroupSettings("muon", 0.5, 0.0, "float32", 0)
    assert found[f"layers.1.{q}"] == GroupSettings("sgd", 4e-3, 0.2, "bfloat16", 1)
    assert found["norm.weight"] == GroupSettings("adamw", 0.0, 0.0, "float32", 2)
    assert found["lm_head.weight"] == GroupSettings("adamw", 4e-3, 0.0, "float32", None)


def test_a_rule_that_fits_nothing_is_a_mistake_but_not_in_a_share_of_a_model():
    config, named = (
        OptimConfig(rules=(RuleConfig(names="q_prj"),)),
        dict(tiny_model().named_parameters()),
    )
    with pytest.raises(ConfigError, match=r"rules\[0\] \(names='q_prj'\) matches no weight"):
        group_parameters(named, config)
    assert group_parameters(named, config, names=[*named, "lm_head.weight"])


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="not a regular expression"):
        by_name(OptimConfig(rules=(RuleConfig(names="("),)), tiny_model())


def with_gradients() -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(3))]
    made[0].grad, made[1].grad = torch.tensor([2.0, 6.0]), torch.tensor([9.0])
    return made


@pytest.mark.parametrize(("largest", "left"), [(0.0, 11.0), (1.1, 1.1), (20.0, 11.0)])
def test_the_norm_before_is_told_and_the_one_after_at_most_the_largest(largest, left):
    parameters = with_gradients()
    assert clip_grad_norm(parameters, largest) == pytest.approx(11.0)
    norm = torch.cat([p.grad for p in parameters if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(left, rel=1e-5)


def test_a_scale_is_divided_out_first():
    parameters = with_gradients()
    assert clip_grad_norm(parameters, 0.0, scale=2.0) == pytest.approx(5.5)


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="momentum"):
        OptimConfig(momentun=0.9)


def test_every_setting_says_what_it_is():
    assert all(field.description for field in documented_fields(OptimConfig).values())
