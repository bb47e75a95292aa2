"""8-bit weights: every projection rounded to 255 levels a channel, with no data and no training.

    scale = max|W_row| / 127;   q = round(W_row / scale);   |W - scale q| <= scale / 2

Embeddings, the head and norms stay as they are if nobody says otherwise: they are few, and logits
feel them most. A head in 8 bits takes less of the file and is a float matrix again once opened. The
result is a model directory like any other, which `load` here and Transformers (compressed-tensors,
pack-quantized) open.
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
    """Bits a weight."""
    others: Literal["kept", "bfloat16"] = "kept"
    """Of embeddings, head and norms: as they are, or in bfloat16, half of float32's bytes."""
    head: Literal["other", "8bit"] = "other"
    """An output table of its own: as the others, or in 8 bits in the file."""


def quantize(config: QuantizeConfig, model: Artifact, out: Path) -> Artifact:
    """Make an 8-bit copy of a model, with its tokenizer.

    Raises ArtifactError if the model is quantised already, and if its head is to be in 8 bits and
    is its embedding.
    """
    return produce(
        out,
        kind="model",
        stage="quantize",
        version=1,
        config=config,
        parents={"model": model},
        write=lambda draft: write_quantized(draft, config, model.path),
    )


def write_quantized(draft: Draft, config: QuantizeConfig, path: Path) -> None:
    """Load, round, save; the body of the stage."""
    model = load(path)
    before = weight_bytes(model)
    worst = to_int8(model)
    if worst is None:
        raise ArtifactError(f"{path} has no weights left to quantize; give the original model.")
    if config.head == "8bit":
        if not isinstance(model.lm_head, nn.Linear):
            raise ArtifactError(f"The head of {path} is its embedding; leave out head=8bit.")
        model.set_submodule("lm_head", Int8Linear.from_linear(model.lm_head))
    if config.others == "bfloat16":
        for weight in model.parameters():  # scales are buffers, and stay as exact as they are
            weight.data = weight.data.to(torch.bfloat16)
    save(model, draft.path, path)
    after = weight_bytes(model)
    draft.numbers |= {"weight_bytes_before": before, "weight_bytes": after, "error": worst}
    record.say(f"{before / 2**20:.1f} MiB of weights became {after / 2**20:.1f} MiB.")


EXACT = ".router"
"""A router is small, and one expert for another is no rounding error."""


@torch.no_grad()
def to_int8(model: Transformer) -> float | None:
    """Replace every projection of the layers but routers by its int8 version, in place.

    Returns the largest relative error of a matrix, |W - Ŵ| / |W| in the Frobenius norm; None if
    there was no projection to replace.
    """
    worst = None
    for name, module in list(model.layers.named_modules(prefix="layers")):
        if isinstance(module, nn.Linear) and not name.endswith(EXACT):
            rounded = Int8Linear.from_linear(module)
            weight = module.weight.to(torch.float32)
            size = weight.norm().clamp_min(torch.finfo(torch.float32).tiny)
            error = float((rounded.dequantized() - weight).norm() / size)
            worst = error if worst is None else max(worst, error)
            model.set_submodule(name, rounded)
    return worst


def weight_bytes(model: Transformer) -> int:
    """Memory of all weights and scales."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
