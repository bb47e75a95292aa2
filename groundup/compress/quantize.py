"""8-bit weights: every projection rounded to 255 levels per output channel, without data.

    scale = max|W_row| / 127;   q = round(W_row / scale);   |W - scale q| <= scale / 2

Embeddings, the head and norms are kept by default: they are small, and logits are most sensitive to
them. An 8-bit head makes the file smaller and becomes a float matrix again when loaded. The result
is a model directory that `load` and Transformers (compressed-tensors, pack-quantized) open.
Source: Dettmers et al. 2022, arXiv:2208.07339, without the outlier columns: weights only.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from groundup.core import Artifact, ArtifactError, Config, Draft, produce, record
from groundup.kernels import Int8Linear
from groundup.model import Transformer, load, save


class QuantizeConfig(Config):
    """How to store the weights."""

    bits: Literal[8] = 8
    """Bits per weight."""
    others: Literal["kept", "bfloat16"] = "kept"
    """Embeddings, head and norms: unchanged, or in bfloat16, half of float32's size."""
    head: Literal["other", "8bit"] = "other"
    """An untied head: like the others, or in 8 bits in the file."""


def quantize(config: QuantizeConfig, model: Artifact, out: Path) -> Artifact:
    """Make an 8-bit copy of a model, with its tokenizer.

    Raises ArtifactError if the model is quantised already, or for an 8-bit head that is tied to the
    embedding.
    """
    return produce(
        out,
        kind="model",
        stage="quantize",
        version=1,
        config=config,
        parents={"model": model},
        write=lambda draft: _write_quantized(draft, config, model.path),
    )


def _write_quantized(draft: Draft, config: QuantizeConfig, path: Path) -> None:
    model = load(path)
    before = _weight_bytes(model)
    worst = quantize_to_int8(model)
    if worst is None:
        raise ArtifactError(f"{path} has no weights left to quantize; give the original model.")
    if config.head == "8bit":
        if not isinstance(model.lm_head, nn.Linear):
            raise ArtifactError(f"The head of {path} is its embedding; leave out head=8bit.")
        model.set_submodule("lm_head", Int8Linear.from_linear(model.lm_head))
    if config.others == "bfloat16":
        for weight in model.parameters():  # scales are buffers and keep their precision
            weight.data = weight.data.to(torch.bfloat16)
    save(model, draft.path, path)
    after = _weight_bytes(model)
    draft.numbers |= {"weight_bytes_before": before, "weight_bytes": after, "error": worst}
    record.log(f"{before / 2**20:.1f} MiB of weights became {after / 2**20:.1f} MiB.")


UNQUANTIZED_SUFFIX = ".router"
"""Routers are kept: they are small, and rounding could select other experts."""


@torch.no_grad()
def quantize_to_int8(model: Transformer) -> float | None:
    """Replace every projection of the layers except routers by its int8 version, in place.

    Returns the largest relative error of a matrix, |W - Ŵ| / |W| in the Frobenius norm; None if
    there is no projection.
    """
    worst = None
    for name, module in list(model.layers.named_modules(prefix="layers")):
        if isinstance(module, nn.Linear) and not name.endswith(UNQUANTIZED_SUFFIX):
            rounded = Int8Linear.from_linear(module)
            weight = module.weight.to(torch.float32)
            size = weight.norm().clamp_min(torch.finfo(torch.float32).tiny)
            error = float((rounded.dequantize() - weight).norm() / size)
            worst = error if worst is None else max(worst, error)
            model.set_submodule(name, rounded)
    return worst


def _weight_bytes(model: Transformer) -> int:
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
