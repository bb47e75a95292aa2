"""Choose, before a run, by which way its attention is computed; replay it when it goes on.

A trial costs some seconds once for a class of rows on a machine, so short runs go by the rule of
`kernels/attention.py` unless the figures are there already.
"""

from collections.abc import Sequence

import torch

from groundup.core import device
from groundup.kernels import (
    AttentionShape,
    autotuned_backend,
    chosen_backends,
    restore_backends,
    set_backend,
)
from groundup.model import Transformer, flops_per_token

LONG_SECONDS = 600.0
"""Length of a run, at half the matrix peak, from which a trial of some ten seconds pays."""


def choosing(
    model: Transformer,
    lengths: Sequence[int],
    dtype: torch.dtype,
    *,
    tokens: int,
    contract: dict[str, list[str | int]] | None = None,
) -> dict[str, list[str | int]]:
    """Choose the ways of rows of these lengths; return them for the determinism contract.

    lengths   tokens of the rows that the run trains on
    tokens    how many the run trains on in all
    contract  what a run that is resumed had chosen; it is taken as it is

    On an accelerator there is nothing to choose.
    """
    if contract is not None:
        restore_backends(contract)
    elif model.head.device.type == "cpu":
        part, name = model.config.attention, str(dtype).removeprefix("torch.")
        for length in lengths:
            whole = 1 << (length - 1).bit_length()
            shape = AttentionShape(part.heads, part.kv_heads, part.head_dim, whole, True, name)
            is_worth = (
                model.is_compiled and _seconds_of(model, length, dtype, tokens) > LONG_SECONDS
            )
            way = autotuned_backend(shape, try_now=is_worth)
            if way is not None:
                set_backend(shape, way)
    return chosen_backends()


def _seconds_of(model: Transformer, length: int, dtype: torch.dtype, tokens: int) -> float:
    """About how long training on so many tokens takes here."""
    speeds = device.measure_speeds()
    peak = speeds.float32_flops if dtype == torch.float32 else speeds.bfloat16_flops
    return tokens * flops_per_token(model.config, length // 2 + 1).training / (0.5 * peak)
