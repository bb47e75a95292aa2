"""8- or 4-bit weights: every projection rounded to integers with a scale per group, without data.

    scale = max|W_group| / most;   q = round(W_group / scale);   |W - scale q| <= scale / 2

most is 127 or 7; a group is an output channel, or some inputs of it. Embeddings, the head and norms
are kept by default: they are small, and logits are most sensitive to them. An 8-bit head makes the
file smaller and becomes a float matrix again when loaded. The result is a model directory that
`load` and Transformers (compressed-tensors, pack-quantized) open; the native stack decodes from
the same integers.
Source: Dettmers et al. 2022, arXiv:2208.07339, without the outlier columns: weights only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from groundup.core import Artifact, ArtifactError, Config, ConfigError, Draft, produce, record
from groundup.kernels import WEIGHT_GROUPS, QuantizedLinear, WeightBits
from groundup.model import Transformer, has_adapters, load, save


class QuantizeConfig(Config):
    """How to store the weights."""

    bits: WeightBits = 8
    """Bits per weight."""
    group: int | None = Field(default=None, ge=2)
    """Inputs that share a scale; default: all with 8 bits, with 4 the first of 64 and 32 that
    divides every layer's inputs."""
    others: Literal["kept", "bfloat16"] = "kept"
    """Embeddings, head and norms: unchanged, or in bfloat16, half of float32's size."""
    head: Literal["other", "8bit"] = "other"
    """An untied head: like the others, or in 8 bits in the file."""


def quantize(config: QuantizeConfig, model: Artifact, out: Path) -> Artifact:
    """Make an 8- or 4-bit copy of a model, with its tokenizer.

    Raises ArtifactError if the model is quantised already, or for an 8-bit head that is tied to the
    embedding; ConfigError if groups do not divide a layer's inputs.
    """
    return produce(
        out,
        kind="model",
        stage="quantize",
        version=2,
        config=config,
        parents={"model": model},
        write=lambda draft: _write_quantized(draft, config, model.path),
    )


def _write_quantized(draft: Draft, config: QuantizeConfig, path: Path) -> None:
    model = load(path)
    before = _weight_bytes(model)
    worst = quantize_weights(model, config.bits, config.group)
    if worst is None:
        raise ArtifactError(f"{path} has no weights left to quantize; give the original model.")
    if config.head == "8bit":
        if not isinstance(model.lm_head, nn.Linear):
            raise ArtifactError(f"The head of {path} is its embedding; leave out head=8bit.")
        model.set_submodule("lm_head", QuantizedLinear.from_linear(model.lm_head))
    if config.others == "bfloat16":
        for weight in model.parameters():  # scales are buffers and keep their precision
            weight.data = weight.data.to(torch.bfloat16)
    save(model, draft.path, path)
    after = _weight_bytes(model)
    draft.numbers |= {"weight_bytes_before": before, "weight_bytes": after, "error": worst}
    record.log(f"{before / 2**20:.1f} MiB of weights became {after / 2**20:.1f} MiB.")
    experts = [weight for name, weight in model.named_parameters() if ".experts." in name]
    if kept := sum(weight.numel() * weight.element_size() for weight in experts):
        halved = "" if config.others == "bfloat16" else "; others=bfloat16 halves float32"
        record.log(f"{kept / 2**20:.1f} MiB of them are experts, which stay floats{halved}.")


UNQUANTIZED_SUFFIX = ".router"
"""Routers are kept: they are small, and rounding could select other experts."""


@torch.no_grad()
def quantize_weights(
    model: Transformer, bits: WeightBits = 8, group: int | None = None
) -> float | None:
    """Replace every projection of the layers except routers by its quantised version, in place.

    Returns the largest relative error of a matrix, |W - Ŵ| / |W| in the Frobenius norm; None if
    there is no projection. Raises ConfigError if groups do not divide a layer's inputs, and for a
    model with adapters, which would be rounded too.
    """
    if has_adapters(model):
        raise ConfigError("Quantize a model before adapters are attached, or merge them first.")
    layers = dict(_projections(model))
    if group is None and bits == 4:
        group = _group_for(layers)
    if bad := next((n for n, m in layers.items() if m.in_features % (group or 1)), None):
        inputs = layers[bad].in_features
        raise ConfigError(f"group={group} does not divide the {inputs} inputs of {bad}.")
    worst = None
    for name, module in layers.items():
        rounded = QuantizedLinear.from_linear(module, bits=bits, group=group)
        weight = module.weight.to(torch.float32)
        size = weight.norm().clamp_min(torch.finfo(torch.float32).tiny)
        error = float((rounded.dequantize() - weight).norm() / size)
        worst = error if worst is None else max(worst, error)
        model.set_submodule(name, rounded)
    return worst


def _projections(model: Transformer) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.layers.named_modules(prefix="layers"):
        if isinstance(module, nn.Linear) and not name.endswith(UNQUANTIZED_SUFFIX):
            yield name, module


def _group_for(layers: dict[str, nn.Linear]) -> int:
    """The first group of the native stack that divides the inputs of every layer."""
    inputs = sorted({layer.in_features for layer in layers.values()})
    for group in WEIGHT_GROUPS[4]:
        if all(each % group == 0 for each in inputs):
            return group
    raise ConfigError(
        f"No group of {' or '.join(map(str, WEIGHT_GROUPS[4]))} divides inputs of "
        f"{', '.join(map(str, inputs))}; give one with --set group=N, or use 8 bits."
    )


def _weight_bytes(model: Transformer) -> int:
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
