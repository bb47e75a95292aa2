"""Precision: what matrix products compute in, and how small gradients survive it.

torch's autocast rounds the inputs of matrix products. These stay float32 whatever is chosen, and a
test looks at every operation's inputs: weights, their gradients and the optimizer's states; norms;
the angles that turn queries and keys; the softmax of attention and its scores; routers of experts;
softmax and logarithm of the loss; the sum of the residual. Two are rounded on purpose: Muon's
iterations are bfloat16 everywhere, and in attention's fused kernel the scores never leave it.

float16 has five bits of exponent: gradients below 6e-8 become zero, so the loss is multiplied by a
scale, the gradients are divided by it, and a step whose gradients overflow is left out and the
scale halved. The scale moves as torch.amp.GradScaler's, but not beyond `LARGEST_SCALE` nor below 1.
Source: Micikevicius et al. 2018, arXiv:1710.03740.
"""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from groundup.core import DataError, device

PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]

LARGEST_SCALE, FIRST_SCALE = 2.0**24, 2.0**16
PATIENCE = 2000
"""Steps without an overflow after which the scale is doubled."""


class Precision:
    """A compute dtype and, for float16, the scale of the loss."""

    def __init__(self, dtype: torch.dtype = torch.float32, scale: float = FIRST_SCALE) -> None:
        self.dtype = dtype
        self.is_scaled = dtype == torch.float16
        self.scale = scale if self.is_scaled else 1.0
        self.calm = 0
        """Steps since the last overflow."""

    def autocast(self, kind: str) -> AbstractContextManager[object]:
        """Context in which products compute in the dtype, on a kind of device."""
        return torch.autocast(kind, self.dtype, enabled=self.dtype != torch.float32)

    def overflowed(self) -> None:
        """Halve the scale after a step whose gradients were not finite.

        Raises DataError if it would fall below 1: then it is not the scale.
        """
        if self.scale <= 1:
            raise DataError("Gradients are not finite in float16 at any scale of the loss.")
        self.scale, self.calm = self.scale / 2, 0

    def went_well(self) -> None:
        """Count a step whose gradients were finite; double the scale after many."""
        self.calm += 1
        if self.is_scaled and self.calm >= PATIENCE:
            self.scale, self.calm = min(self.scale * 2, LARGEST_SCALE), 0

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"scale": torch.tensor(self.scale, dtype=torch.float64),
                "calm": torch.tensor(self.calm)}  # fmt: skip

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what a checkpoint kept."""
        self.scale, self.calm = float(state["scale"]), int(state["calm"])


def precision_of(name: PrecisionName, place: torch.device) -> Precision:
    """The precision of a name; `auto` is bfloat16 where it was measured to be faster, else float32.

    >>> precision_of("float16", torch.device("cpu")).is_scaled
    True
    """
    dtype = device.compute_dtype(place) if name == "auto" else getattr(torch, name)
    return Precision(dtype)
