"""Int8 weights in files: the `pack-quantized` format of compressed-tensors.

Four int8 values, each plus 128, are packed in one int32, lowest byte first, with a scale for each
output channel and the shape. Transformers and vLLM open such directories.
Source: compressed-tensors 0.20, compressors/pack_quantized.
"""

from typing import Any

import torch
from jaxtyping import Int8, Int32
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ArtifactError
from groundup.kernels import Int8Linear

SUFFIXES = ("weight_packed", "weight_scale", "weight_shape")
PER_WORD = 4

QUANTIZATION_CONFIG: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True,
                "dynamic": False,
            },
            "input_activations": None,
            "output_activations": None,
        }
    },
}  # fmt: skip
"""The quantization_config of a model with int8 projections and float embeddings."""
OUTPUT_HEAD = "lm_head"


def quantization_config(has_packed_head: bool) -> dict[str, Any]:
    """The quantization_config of a model; an unpacked head is listed as ignored."""
    return QUANTIZATION_CONFIG | {"ignore": [] if has_packed_head else [OUTPUT_HEAD]}


def _pack_int8(values: Int8[Tensor, "O I"]) -> Int32[Tensor, "O words"]:
    """Pack four values per word; rows are padded with zeros to full words.

    >>> values = torch.tensor([[-128, -127, 0, 127]], dtype=torch.int8)
    >>> _pack_int8(values).item() == 0xFF80_0100 - 2**32
    True
    """
    offset = (values.to(torch.int16) + 128).to(torch.uint8)
    offset = F.pad(offset, (0, -values.shape[1] % PER_WORD))
    return offset.contiguous().view(torch.int32)


def _unpack_int8(words: Int32[Tensor, "O words"], width: int) -> Int8[Tensor, "O I"]:
    """Unpack the first `width` values of each row; the inverse of `_pack_int8`."""
    offset = words.contiguous().view(torch.uint8)[:, :width]
    return (offset.to(torch.int16) - 128).to(torch.int8)


def to_packed_state(name: str, linear: Int8Linear) -> dict[str, Tensor]:
    """The tensors of one packed linear layer."""
    return {
        f"{name}.weight_packed": _pack_int8(linear.weight),
        f"{name}.weight_scale": linear.scale[:, None].contiguous(),
        f"{name}.weight_shape": torch.tensor(linear.weight.shape, dtype=torch.int64),
    }


def is_packed(config: dict[str, Any]) -> bool:
    """Whether a config.json describes int8 weights of this format.

    Raises ArtifactError for any other quantization.
    """
    quantization = config.get("quantization_config")
    if not quantization:
        return False
    groups = _parse_config_groups(quantization)
    weights = [group.get("weights") or {} for group in groups]
    keys = QUANTIZATION_CONFIG["config_groups"]["group_0"]["weights"]
    expected = {key: keys[key] for key in ("num_bits", "type", "strategy", "symmetric")}
    fits = len(weights) == 1 and all(weights[0].get(key) == expected[key] for key in expected)
    is_packed_format = quantization.get("format") == "pack-quantized"
    if not is_packed_format or not fits or groups[0].get("input_activations"):
        raise ArtifactError(
            f"config.json has quantization {quantization.get('quant_method')} "
            f"{quantization.get('format')}; groundup supports compressed-tensors pack-quantized "
            "with symmetric int8 weights and one scale per channel: quantize the original with "
            "`groundup quantize`."
        )
    return True


def _parse_config_groups(quantization: Any) -> list[dict[str, Any]]:
    inner = quantization.get("config_groups", {}) if isinstance(quantization, dict) else None
    groups: list[Any] = [*inner.values()] if isinstance(inner, dict) else [inner]
    are_groups = all(
        isinstance(group, dict) and isinstance(group.get("weights") or {}, dict) for group in groups
    )
    if not are_groups:
        what = f"config.json has quantization_config={str(quantization)[:60]!r}"
        raise ArtifactError(f"{what}; expected an object in compressed-tensors' format.")
    return groups


def install_packed_weights(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace the model's linear layers by int8 ones where `state` has packed weights.

    Returns the state with those weights unpacked, under the names of `Int8Linear`. A packed head
    becomes a float matrix, since losses multiply with the complete matrix.

    Raises ArtifactError if the model has no linear layer of that name, or the shape differs.
    """
    state = dict(state)
    ending = f".{SUFFIXES[0]}"
    for name in [key.removesuffix(ending) for key in state if key.endswith(ending)]:
        linear = dict(model.named_modules()).get(name)
        words, scale, shape = (state.pop(f"{name}.{suffix}", None) for suffix in SUFFIXES)
        if not isinstance(linear, nn.Linear) or words is None or scale is None:
            raise ArtifactError(f"The packed weight {name} has no scale or is not in this model.")
        if words.dtype != torch.int32 or not scale.is_floating_point():
            what = f"The packed weight {name} is of {words.dtype} with a scale of {scale.dtype}"
            raise ArtifactError(f"{what}; expected int32 and a float.")
        size = (linear.out_features, linear.in_features)
        if (shape is not None and tuple(shape.tolist()) != size) or words.shape[0] != size[0]:
            raise ArtifactError(f"The packed weight {name} does not have the shape {size}.")
        values, scale = _unpack_int8(words, linear.in_features), scale.flatten().to(torch.float32)
        if name == OUTPUT_HEAD:
            state[f"{name}.weight"] = values.to(torch.float32) * scale[:, None]
            continue
        rounded = Int8Linear(linear.in_features, linear.out_features)
        rounded.bias = linear.bias
        model.set_submodule(name, rounded)
        state |= {f"{name}.weight": values, f"{name}.scale": scale}
    return state
