"""Numbers that stand alone."""

import numpy as np
import torch

from groundup.model.weights.gguf.plain import _f16, _f32, bf16


def test_bfloat16_is_torchs():
    numbers = torch.randn(50).to(torch.bfloat16)
    stored = numbers.view(torch.int16).numpy().view(bf16.layout)
    assert np.array_equal(bf16.decode(stored)[:, 0], numbers.float().numpy())


def test_halves_and_singles_keep_infinities_and_signs_of_zero():
    for type in (_f16, _f32):
        numbers = np.array([-0.0, np.inf, -np.inf, 1.5], type.layout["x"])
        found = type.decode(numbers.view(type.layout))[:, 0]
        assert np.array_equal(found, numbers.astype(np.float32))
        assert np.signbit(found[0])
