"""Integer weights in files: the `pack-quantized` format of compressed-tensors.

Integers of 8 or 4 bits, each plus 128 or 8, are packed in int32 words, the lowest bits first, with
the scales of each output channel or group, and the shape. Transformers and vLLM open such
directories.
Source: compressed-tensors 0.20, compressors/pack_quantized.
"""

from typing import Any

import torch
from jaxtyping import Int32
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ArtifactError
from groundup.kernels import QuantizedLinear, WeightBits

SUFFIXES = ("weight_packed", "weight_scale", "weight_shape")
PER_WORD = 4
OUTPUT_HEAD = "lm_head"


def quantization_config(model: nn.Module) -> dict[str, Any]:
    """The quantization_config of a model whose layers share bits and group; {} without any.

    A head of its own is listed as ignored, or has a group if its bits are others.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, QuantizedLinear)}
    if not layers:
        return {}
    head = layers.pop(OUTPUT_HEAD, None)
    groups = {"group_0": _config_group("Linear", next(iter(layers.values())))}
    if head is not None and (group := _config_group(OUTPUT_HEAD, head)) != {
        **groups["group_0"], "targets": [OUTPUT_HEAD],
    }:  # fmt: skip
        groups = {"group_0": group, "group_1": groups["group_0"]}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [OUTPUT_HEAD] if head is None else [],
    }


def _config_group(target: str, layer: QuantizedLinear) -> dict[str, Any]:
    is_channel = layer.scale.shape[1] == 1
    weights = {
        "num_bits": layer.bits, "type": "int", "symmetric": True, "dynamic": False,
        "strategy": "channel" if is_channel else "group",
    }  # fmt: skip
    return {
        "targets": [target],
        "weights": weights if is_channel else weights | {"group_size": layer.group},
        "input_activations": None,
        "output_activations": None,
    }


def _pack_words(layer: QuantizedLinear) -> Int32[Tensor, "O words"]:
    """The integers in words of 32 bits; rows are padded with zeros to full words.

    >>> layer = QuantizedLinear(4, 1)
    >>> layer.weight = torch.tensor([[-128, -127, 0, 127]], dtype=torch.int8)
    >>> _pack_words(layer).item() == 0xFF80_0100 - 2**32
    True
    """
    values = layer.weight
    if layer.bits == 8:
        values = (values.to(torch.int16) + 128).to(torch.uint8)
    return F.pad(values, (0, -values.shape[1] % PER_WORD)).contiguous().view(torch.int32)


def _unpack_words(words: Int32[Tensor, "O words"], layer: QuantizedLinear) -> Tensor:
    """The weight of a layer; the inverse of `_pack_words`."""
    values = words.contiguous().view(torch.uint8)[:, : layer.weight.shape[1]]
    return (values.to(torch.int16) - 128).to(torch.int8) if layer.bits == 8 else values


def to_packed_state(name: str, layer: QuantizedLinear) -> dict[str, Tensor]:
    """The tensors of one packed linear layer."""
    shape = (layer.out_features, layer.in_features)
    return {
        f"{name}.weight_packed": _pack_words(layer),
        f"{name}.weight_scale": layer.scale.contiguous(),
        f"{name}.weight_shape": torch.tensor(shape, dtype=torch.int64),
    }


def is_packed(config: dict[str, Any]) -> bool:
    """Whether a config.json describes weights of this format.

    Raises ArtifactError for any other quantization.
    """
    quantization = config.get("quantization_config")
    is_dequantized = config.get("model_type") == "gpt_oss"  # the family reads MXFP4 as numbers
    if not quantization or is_dequantized and _is_mxfp4(quantization):
        return False
    groups = _parse_config_groups(quantization)
    is_packed_format = quantization.get("format") == "pack-quantized"
    if not is_packed_format or not groups or not all(map(_is_supported, groups)):
        names = (str(quantization.get(key, "")) for key in ("quant_method", "format"))
        raise ArtifactError(
            f"config.json has quantised weights ({' '.join(names).strip()}); groundup supports "
            "compressed-tensors pack-quantized with symmetric integers of 8 or 4 bits, a scale per "
            "channel or group in order: quantize the original with `groundup quantize`."
        )
    return True


def _is_mxfp4(quantization: Any) -> bool:
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "mxfp4":
        return False
    known = {"quant_method", "modules_to_not_convert", "dequantize"}
    if unknown := sorted(quantization.keys() - known):
        what = f"quantization_config.{unknown[0]}={quantization[unknown[0]]!r:.60}"
        raise ArtifactError(f"config.json has {what}, which is unknown in MXFP4's blocks of 32.")
    return True


def _is_supported(group: dict[str, Any]) -> bool:
    weights = group.get("weights") or {}
    return (
        weights.get("num_bits") in (8, 4) and weights.get("type") == "int"
        and weights.get("strategy") in ("channel", "group") and bool(weights.get("symmetric"))
        and not weights.get("actorder") and not group.get("input_activations")
    )  # fmt: skip


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
    """Replace the model's linear layers by quantised ones where `state` has packed weights.

    Returns the state with those weights unpacked, under the names of `QuantizedLinear`. A packed
    head becomes a float matrix, since losses multiply with the complete matrix.

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
        layer = _layer_for(name, linear, words, scale, shape)
        if name == OUTPUT_HEAD:
            layer.weight, layer.scale = _unpack_words(words, layer), scale.float()
            state[f"{name}.weight"] = layer.dequantize()
            continue
        layer.bias = linear.bias
        model.set_submodule(name, layer)
        state |= {f"{name}.weight": _unpack_words(words, layer), f"{name}.scale": scale.float()}
    return state


def _layer_for(
    name: str, linear: nn.Linear, words: Tensor, scale: Tensor, shape: Tensor | None
) -> QuantizedLinear:
    """An empty layer of the bits and groups that the packed tensors have."""
    size, inputs = (linear.out_features, linear.in_features), linear.in_features
    groups = scale.shape[1] if scale.dim() == 2 else 0
    widths: dict[int, WeightBits] = {-(-inputs // (2 * PER_WORD)): 4, -(-inputs // PER_WORD): 8}
    bits = widths.get(words.shape[-1])
    if (
        (shape is not None and tuple(shape.tolist()) != size) or words.shape[0] != size[0]
        or bits is None or not groups or inputs % groups or len(scale) != size[0]
    ):  # fmt: skip
        raise ArtifactError(f"The packed weight {name} does not have the shape {size}.")
    return QuantizedLinear(inputs, size[0], bits=bits, group=inputs // groups)
