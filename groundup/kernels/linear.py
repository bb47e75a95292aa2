"""Linear layers with integer weights: 8 bits a quarter, 4 bits an eighth of float32's memory.

Inputs in groups, or all of an output channel (row of the weight), share one scale and no zero
point. Only weights are quantised; activations keep their dtype. `dequantize` is the reference of
what a layer means; the native stack multiplies the same integers. Knows nothing of models or files.
Source: Jacob et al. 2018, arXiv:1712.05877, with zero point 0.
"""

from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int8, Shaped, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ShapeError

WeightBits = Literal[8, 4]
WEIGHT_GROUPS: dict[int, tuple[int, ...]] = {8: (128, 64, 32), 4: (64, 32)}
"""Inputs that share a scale by default: the first that divides the inputs."""

MAX_FUSED_ROWS = 16
"""Maximum rows for which the fused product is faster than converting the weight to bfloat16.

Measured at 1024 x 2048: 2.2 times the speed of bfloat16 weights at 1 row, 0.4 at 64.
"""

FUSED_MULTIPLE = 16
"""Required multiple of input features; otherwise torch 2.13 reads beyond the weight's end."""


def quantize_groups(
    weight: Float[Tensor, "O I"], *, bits: WeightBits, group: int
) -> tuple[Int8[Tensor, "O I"], Float[Tensor, "O groups"]]:
    """Nearest integers of each group of inputs, and the groups' scales: |W - scale q| <= scale / 2.

    >>> quantize_groups(torch.tensor([[7.0, -3.5]]), bits=4, group=2)
    (tensor([[ 7, -4]], dtype=torch.int8), tensor([[1.]]))
    """
    most = 2 ** (bits - 1) - 1  # symmetric: the lowest integer would have no positive partner
    grouped = weight.detach().float().unflatten(1, (-1, group))
    scales = grouped.abs().amax(-1) / most
    safe = torch.where(scales > 0, scales, torch.ones_like(scales))
    numbers = (grouped / safe[..., None]).round().clamp(-most, most)
    return numbers.to(torch.int8).flatten(1), safe


class QuantizedLinear(nn.Module):
    """A linear layer with integers of 8 or 4 bits and a scale per group; the bias is unchanged."""

    weight: Tensor
    """int8 (O, I); of 4 bits uint8 (O, I / 2), each plus 8, the lower half of a byte first."""
    scale: Tensor
    """float32 (O, groups)."""
    bias: nn.Parameter | None

    def __init__(
        self, in_features: int, out_features: int, *, bits: WeightBits = 8, group: int | None = None
    ) -> None:
        """Zeros.

        group  inputs that share a scale; default: all

        Raises ShapeError if groups do not divide the inputs, or 4 bits do not fill bytes.
        """
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits: WeightBits = bits
        self.group = group or in_features
        if in_features % self.group or in_features % (8 // bits):
            what = f"{in_features} inputs in groups of {self.group} of {bits} bits"
            raise ShapeError(f"{what}: groups must divide the inputs, and 4 bits fill bytes.")
        zeros = torch.zeros(out_features, in_features, dtype=torch.int8)
        self.register_buffer("weight", zeros if bits == 8 else _pack_halves(zeros))
        self.register_buffer("scale", torch.ones(out_features, in_features // self.group))
        self.register_parameter("bias", None)

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, *, bits: WeightBits = 8, group: int | None = None
    ) -> "QuantizedLinear":
        """Round a linear layer's weights to the nearest integers."""
        layer = cls(linear.in_features, linear.out_features, bits=bits, group=group)
        layer.bias = linear.bias
        integers, layer.scale = quantize_groups(linear.weight, bits=bits, group=layer.group)
        layer.weight = integers if bits == 8 else _pack_halves(integers)
        return layer

    def integers(self) -> Int8[Tensor, "O I"]:
        """The integers of the weight."""
        return self.weight if self.bits == 8 else _unpack_halves(self.weight)

    def dequantize(self) -> Float[Tensor, "O I"]:
        """The dequantised weight, float32."""
        groups = self.integers().to(self.scale.dtype).unflatten(1, (-1, self.group))
        return (groups * self.scale[..., None]).flatten(1)

    def to_linear(self) -> nn.Linear:
        """A trainable linear layer with the dequantised weight."""
        layer = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight = nn.Parameter(self.dequantize())
        if self.bias is not None:
            layer.bias = self.bias
        return layer

    def forward(self, x: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """x @ dequantised weightᵀ + bias; one fused product for few bfloat16 rows on CPUs."""
        rows = x.numel() // self.in_features
        is_channel = self.bits == 8 and self.scale.shape[1] == 1  # the scale follows the product
        is_supported = self.in_features % FUSED_MULTIPLE == 0 and rows <= MAX_FUSED_ROWS
        may_fuse = is_supported and x.dtype == torch.bfloat16 and x.device.type == "cpu"
        if is_channel and may_fuse and not torch.is_grad_enabled():
            flat = x.reshape(-1, self.in_features)  # (N, I)
            out = torch._weight_int8pack_mm(flat, self.weight, self.scale[:, 0].to(x.dtype))
            out = out.reshape(*x.shape[:-1], self.out_features)
        elif torch.is_grad_enabled() and x.requires_grad:
            out = cast(Tensor, _PackedProduct.apply(x, self))
        elif is_channel:
            out = F.linear(x, self.weight.to(x.dtype)) * self.scale[:, 0].to(x.dtype)
        else:
            out = F.linear(x, self.dequantize().to(x.dtype))
        return out if self.bias is None else out + self.bias


class _PackedProduct(torch.autograd.Function):
    """x @ dequantised weightᵀ, which keeps the integers for the backward pass, not the floats."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.dequantize().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        return grad @ ctx.layer.dequantize().to(grad.dtype), None


def _pack_halves(integers: Int8[Tensor, "O I"]) -> UInt8[Tensor, "O half"]:
    """Two integers from -8 to 7 in a byte, each plus 8.

    >>> _pack_halves(torch.tensor([[-8, 7]], dtype=torch.int8)).tolist() == [[0xF0]]
    True
    """
    low, high = ((integers + 8).to(torch.uint8)[:, at::2] for at in (0, 1))
    return low | high << 4


def _unpack_halves(halves: UInt8[Tensor, "O half"]) -> Int8[Tensor, "O I"]:
    return (torch.stack((halves & 15, halves >> 4), -1).flatten(1).to(torch.int8)) - 8


FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The numbers of 3 bits; the fourth is the sign."""
MXFP4_BLOCK, MXFP4_BIAS = 32, 127


def unpack_mxfp4(
    blocks: Shaped[Tensor, "*blocks bytes"], scales: Shaped[Tensor, "*scales"]
) -> Float[Tensor, "E inputs outputs"]:
    """The numbers of matrices in MXFP4, as bfloat16.

    blocks  (E, outputs, inputs / 32, 16)  two numbers per byte, the first in the lower bits
    scales  (E, outputs, inputs / 32)      exponents of two, plus 127

    Raises ShapeError for another block size or type.
    Source: Open Compute Project 2023, OCP Microscaling Formats 1.0, section 5.

    >>> blocks = torch.full((1, 1, 1, 16), 0xA2, dtype=torch.uint8)
    >>> unpack_mxfp4(blocks, torch.full((1, 1, 1), 128, dtype=torch.uint8))[0, :2, 0].tolist()
    [2.0, -2.0]
    """
    size, kinds = 2 * blocks.shape[-1], {blocks.dtype, scales.dtype}
    if size != MXFP4_BLOCK or blocks.shape[:-1] != scales.shape or kinds != {torch.uint8}:
        has = f"blocks {tuple(blocks.shape)}, {size} numbers each, with scales"
        raise ShapeError(f"{has} {tuple(scales.shape)} are not MXFP4, which has a uint8 scale for "
                         f"every {MXFP4_BLOCK} numbers.")  # fmt: skip
    table = torch.tensor([*FP4, *(-each for each in FP4)], dtype=torch.bfloat16)
    numbers = table[torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2).int()]
    exponents = (scales.int() - MXFP4_BIAS)[..., None]
    return torch.ldexp(numbers, exponents).flatten(-2).mT.contiguous()
