"""The native softmax and loss are their definitions in torch, forward and back."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError, device
from groundup.kernels import Mask, has_native_softmax, matmul_attention, reference_attention
from groundup.kernels.loss import _losses_and_logit_grads
from groundup.kernels.native.interval import (
    interval_softmax,
    key_intervals,
    native_losses_and_logit_grads,
)

pytestmark = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16]
STEP = {torch.float32: 1e-6, torch.bfloat16: 2**-8}
DOCUMENTS = torch.tensor([[0] * 30 + [1] * 40, [0] * 65 + [-1] * 5])


def defined(scores, mask, scale):
    """The same in float64 by torch."""
    seen = key_intervals(mask, *scores.shape[2:], CPU)
    keys = torch.arange(scores.shape[3])
    is_seen = ((keys >= seen.low[..., None]) & (keys < seen.high[..., None]))[:, None]
    return (scores * scale).masked_fill(~is_seen, -1e300).softmax(-1) * is_seen


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mask", [Mask(), Mask(causal=False), Mask(documents=DOCUMENTS)],
                         ids=["causal", "both ways", "packed and padded"])  # fmt: skip
@pytest.mark.parametrize("T", [70, 33, 1])
def test_weights_and_their_derivative(mask, dtype, T):
    made = torch.Generator().manual_seed(T)
    scores = torch.randn(2, 3, T, 70, generator=made).to(dtype).requires_grad_()
    exact = scores.detach().double().requires_grad_()
    slope = torch.randn(scores.shape, generator=made).to(dtype)
    found = interval_softmax(scores, *key_intervals(mask, T, 70, CPU), 0.3)
    wanted = defined(exact, mask, 0.3)
    found.backward(slope)
    wanted.backward(slope.double())
    assert_close(found.double(), wanted, atol=STEP[dtype], rtol=STEP[dtype])
    assert_close(scores.grad.double(), exact.grad, atol=3 * STEP[dtype], rtol=3 * STEP[dtype])
    assert not found[wanted == 0].any() and not scores.grad[wanted == 0].any()


@pytest.mark.parametrize("keys", [1, 15, 16, 17, 2049])
def test_rows_that_fill_no_whole_vector(keys):
    scores = 50 * torch.randn(1, 1, 3, keys, generator=torch.Generator().manual_seed(keys))
    mask = Mask(causal=False)
    found = interval_softmax(scores, *key_intervals(mask, 3, keys, CPU), 1.0)
    assert_close(found.double(), defined(scores.double(), mask, 1.0), atol=1e-6, rtol=1e-6)


def test_torch_may_trace_it():
    scores = torch.randn(2, 3, 70, 70, requires_grad=True)
    seen = key_intervals(Mask(documents=DOCUMENTS), 70, 70, CPU)
    torch.library.opcheck(interval_softmax, (scores, *seen, 0.3))


def test_damage_is_seen():
    scores = torch.zeros(1, 1, 2, 4)
    scores[0, 0, 0, 1] = torch.nan
    found = interval_softmax(scores, *key_intervals(Mask(causal=False), 2, 4, CPU), 1.0)
    assert found[0, 0, 0].isnan().all() and (found[0, 0, 1] == 0.25).all()
    losses, errors = native_losses_and_logit_grads(scores[0, 0].clone(), torch.zeros(2).long(),
                                              torch.ones(2))  # fmt: skip
    assert losses[0].isnan() and errors[0].isnan().all() and losses[1].isfinite()


def test_threads_change_no_bit():
    scores = torch.randn(3, 2, 40, 40).bfloat16()
    seen, threads = key_intervals(Mask(), 40, 40, CPU), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = interval_softmax(scores, *seen, 0.125)
        torch.set_num_threads(3)
        assert torch.equal(interval_softmax(scores, *seen, 0.125), one)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [1, 31, 1000, 8192])
def test_losses_and_errors(dtype, size):
    made = torch.Generator().manual_seed(size)
    logits = (3 * torch.randn(40, size, generator=made)).to(dtype)
    targets, weights = torch.randint(size, (40,), generator=made), torch.rand(40, generator=made)
    weights[3] = 0.0
    wanted = _losses_and_logit_grads(logits.double(), targets, weights.double())
    found = native_losses_and_logit_grads(logits, targets, weights)
    assert found[1].data_ptr() == logits.data_ptr()
    assert_close(found[0].double(), wanted[0], atol=3e-6, rtol=1e-6)
    assert_close(found[1].double(), wanted[1], atol=STEP[dtype], rtol=STEP[dtype])


def test_attention_takes_it_and_may_leave_it(monkeypatch):
    made = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 70, 8, generator=made, requires_grad=True)
               for heads in (4, 2, 2))  # fmt: skip
    mask, gradients = Mask(documents=DOCUMENTS), []
    for way in ("native", "torch"):
        monkeypatch.setenv("GROUNDUP_SOFTMAX", way)
        assert has_native_softmax("cpu", torch.float32) == (way == "native")
        out = matmul_attention(q, k, v, mask=mask)
        assert_close(out, reference_attention(q, k, v, mask=mask), atol=2e-6, rtol=0)
        gradients.append(torch.autograd.grad(out.sin().sum(), (q, k, v)))
    for native, plain in zip(*gradients, strict=True):
        assert_close(native, plain, atol=2e-6, rtol=0)


def test_a_wrong_switch_is_an_error(monkeypatch):
    monkeypatch.setenv("GROUNDUP_SOFTMAX", "fast")
    with pytest.raises(ConfigError, match="native or torch"):
        has_native_softmax("cpu", torch.float32)


@pytest.mark.parametrize("weight", [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 + 2**-9])
def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even(weight):
    logits = torch.zeros(1, 2, dtype=torch.bfloat16)
    _, errors = native_losses_and_logit_grads(logits, torch.tensor([0]), torch.tensor([2 * weight]))
    assert torch.equal(errors[0], torch.tensor([-weight, weight]).bfloat16())


def test_no_number_stays_none_in_bfloat16():
    logits = torch.tensor([[torch.nan, 0.0]], dtype=torch.bfloat16)
    _, errors = native_losses_and_logit_grads(logits, torch.tensor([0]), torch.ones(1))
    assert errors.isnan().all()
