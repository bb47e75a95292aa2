"""Mixed precision: the compute dtype of matrix products, and loss scaling for float16.

torch's autocast rounds the inputs of matrix products. The following stay float32 in every mode, and
a test checks every operation's inputs: weights, gradients and optimizer states; norms; rotary
angles; attention scores and their softmax; expert routers; log-softmax of the loss; the residual
sum. Two are rounded on purpose: Muon's iterations are bfloat16 everywhere, and a fused attention
kernel keeps its scores to itself.

float16 has five exponent bits: gradients below 6e-8 become zero, so the loss is multiplied by a
scale, the gradients are divided by it, and a step whose gradients overflow is skipped and the scale
halved. The scale moves as torch.amp.GradScaler's, but stays between 1 and `MAX_SCALE`.
Source: Micikevicius et al. 2018, arXiv:1710.03740.
"""

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from groundup.core import DataError, device

PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]

MAX_SCALE, INITIAL_SCALE = 2.0**24, 2.0**16
GROWTH_INTERVAL = 2000
"""Steps without an overflow after which the scale is doubled."""


class Precision:
    """A compute dtype and, for float16, the loss scale."""

    def __init__(self, dtype: torch.dtype = torch.float32, scale: float = INITIAL_SCALE) -> None:
        self.dtype = dtype
        self.is_scaled = dtype == torch.float16
        self.scale = scale if self.is_scaled else 1.0
        self.steps_since_overflow = 0
        """Steps since the last overflow."""

    def autocast(self, device_type: str) -> AbstractContextManager[object]:
        """Autocast context on a device type."""
        return torch.autocast(device_type, self.dtype, enabled=self.dtype != torch.float32)

    def record_overflow(self) -> None:
        """Halve the scale after a step with non-finite gradients.

        Raises DataError if it would fall below 1: then the scale is not the cause.
        """
        if self.scale <= 1:
            raise DataError("Gradients are not finite in float16 at any loss scale; use bfloat16.")
        self.scale, self.steps_since_overflow = self.scale / 2, 0

    def record_finite_step(self) -> None:
        """Count a step with finite gradients; double the scale after `GROWTH_INTERVAL` of them."""
        self.steps_since_overflow += 1
        if self.is_scaled and self.steps_since_overflow >= GROWTH_INTERVAL:
            self.scale, self.steps_since_overflow = min(self.scale * 2, MAX_SCALE), 0

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        return {"scale": torch.tensor(self.scale, dtype=torch.float64),
                "calm": torch.tensor(self.steps_since_overflow)}  # fmt: skip

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        self.scale, self.steps_since_overflow = float(state["scale"]), int(state["calm"])


def resolve_precision(name: PrecisionName, torch_device: torch.device) -> Precision:
    """The precision of a name; `auto` is bfloat16 where measured to be faster, else float32.

    >>> resolve_precision("float16", torch.device("cpu")).is_scaled
    True
    """
    dtype = device.compute_dtype(torch_device) if name == "auto" else getattr(torch, name)
    return Precision(dtype)
