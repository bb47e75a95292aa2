"""Tensor parallel: every process computes with a share of each matrix, on the same rows.

    q, k, v, gate, up   divided by outputs: a process has some heads and some inner features
    o, down             divided by inputs: products are parts of a sum
    embedding, head     divided by ids; the loss is taken over divided logits (vocabulary.py)
    norms               whole, each process norming some of the positions (sequence parallel)

Between blocks hidden states are divided by positions: gathered before a matrix is divided by
outputs, added up and scattered behind one that is divided by inputs. What torch's DTensor knows of
placements does the rest, gradients included; hidden states leave the last norm whole.
Source: Shoeybi et al. 2019, arXiv:1909.08053; Korthikanti et al. 2022, arXiv:2205.05198.
"""

from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.distributed.tensor.parallel.style import ParallelStyle

from groundup.core import ConfigError, ShapeError
from groundup.model import ModelConfig, Transformer

NORMS = ("attention_norm", "attention_out_norm", "feedforward_norm", "feedforward_out_norm")
"""Of a block, each over whole features of some positions."""


def split_matrices(model: Transformer, line: DeviceMesh) -> None:
    """Divide a decoder's matrices over a line of processes, in place.

    Every process must hold the same weights. Raises ConfigError for what cannot be divided.
    """
    check(model.config, line.size())
    for block in model.layers:
        place(block, line, block_plan(model.config, block))
    place(model, line, outer_plan(model))
    if model.lm_bias is not None:
        model.lm_bias = nn.Parameter(
            distribute_tensor(model.lm_bias.detach(), line, [Shard(0)], src_data_rank=None)
        )
    model.norm.register_forward_hook(gathered)
    model.register_forward_pre_hook(PositionCheck(line.size()), with_kwargs=True)


def place(module: nn.Module, line: DeviceMesh, plan: dict[str, ParallelStyle]) -> None:
    """Divide parts of a module as planned; all processes hold the same, so that nothing is sent."""
    parallelize_module(module, line, plan, src_data_rank=None)


def check(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError naming what does not divide, or what is not built."""
    attention = config.attention
    sizes = {
        "attention.heads": attention.heads,
        "attention.kv_heads": attention.kv_heads,
        "feedforward.width": config.feedforward.width,
    }
    for name, size in sizes.items():
        if size % parts:
            raise ConfigError(
                f"{name}={size} does not divide among mesh dimension tensor={parts}; choose a "
                f"tensor size that divides {', '.join(f'{n}={s}' for n, s in sizes.items())}."
            )
    odd = {
        f"kind={config.kind!r}": config.kind != "decoder",
        "experts": config.feedforward.experts is not None,
        f"position.kind={config.position.kind!r}": config.position.kind
        not in ("rope", "learned", "none"),
        f"output.transform={config.output.transform!r}": config.output.transform != "none",
    }
    for name, is_odd in odd.items():
        if is_odd:
            raise ConfigError(
                f"Tensor parallel divides decoders with rotary, learned or no positions and dense "
                f"layers; this model has {name}: divide it by data, shard or pipeline."
            )


def block_plan(config: ModelConfig, block: nn.Module) -> dict[str, ParallelStyle]:
    """How each part of a block is divided."""
    whole = PrepareModuleInput(
        input_layouts=(Shard(1), None), desired_input_layouts=(Replicate(), None)
    )
    widened = PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),))
    plan: dict[str, ParallelStyle] = {"attention": whole, "feedforward": widened}
    for name in ("attention.q_proj", "attention.k_proj", "attention.v_proj",
                 "feedforward.gate_proj", "feedforward.up_proj"):  # fmt: skip
        plan[name] = ColwiseParallel()
    for name in ("attention.o_proj", "feedforward.down_proj"):
        plan[name] = RowwiseParallel(output_layouts=Shard(1), use_local_output=False)
    if not config.feedforward.gated:
        del plan["feedforward.gate_proj"]
    plan |= {name: SequenceParallel() for name in NORMS if has_weights(getattr(block, name))}
    by_head = SequenceParallel(sequence_dim=2, use_local_output=True)  # (B, T, H, K)
    for name in ("attention.q_norm", "attention.k_norm"):
        if config.attention.qk_norm != "none":
            plan[name] = by_head if config.attention.qk_norm == "head" else OverFeatures()
    return plan


def outer_plan(model: Transformer) -> dict[str, ParallelStyle]:
    """How what is outside the blocks is divided."""
    plan: dict[str, ParallelStyle] = {
        name: RowwiseParallel(
            input_layouts=Replicate(), output_layouts=Shard(1), use_local_output=False
        )
        for name in ("embed_tokens", "embed_positions", "embed_types")
        if getattr(model, name) is not None
    }
    plan |= {
        n: SequenceParallel() for n in ("embed_norm", "norm") if has_weights(getattr(model, n))
    }
    if model.lm_head is not None:
        plan["lm_head"] = ColwiseParallel()
    return plan


def has_weights(module: nn.Module) -> bool:
    """Whether it is a norm, and not the absence of one."""
    return any(True for _ in module.parameters())


class OverFeatures(ParallelStyle):
    """A norm over all features, of which each process has some: their mean square is added up."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        """Divide the weights, and take and give what a process has of the features."""
        for name, parameter in list(module.named_parameters()):
            part = distribute_tensor(parameter.detach(), device_mesh, [Shard(0)],
                                     src_data_rank=None)  # fmt: skip
            module.register_parameter(name, nn.Parameter(part))
        module.register_forward_pre_hook(
            lambda _, given: (DTensor.from_local(given[0], device_mesh, [Shard(-1)]),)
        )
        module.register_forward_hook(
            lambda _, given, found: found.redistribute(
                placements=[Shard(found.ndim - 1)]
            ).to_local()
        )
        return module


def gathered(module: nn.Module, given: Any, hidden: DTensor) -> Tensor:
    """Hidden states of all positions; their gradient is summed over processes and divided again."""
    whole = hidden.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()])
    return whole.clone()  # no view: fully_shard watches what a model returns for its gradient


class PositionCheck:
    """Refuses rows whose positions do not divide among the processes."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def __call__(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Raise ShapeError before anything is computed."""
        ids = given[0] if given else named["ids"]
        if ids.shape[1] % self.parts:
            raise ShapeError(
                f"Rows of {ids.shape[1]} positions do not divide among mesh dimension tensor="
                f"{self.parts}; choose length and context_length that are multiples of it."
            )
