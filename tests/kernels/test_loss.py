"""Cross-entropy: the chunked way has the value and the gradients of the plain one."""

import math

import pytest
import torch
from torch.nn import functional
from torch.nn.functional import linear
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.kernels import LossTerms, cross_entropy, reference_cross_entropy, token_logprobs
from groundup.kernels.loss import (
    _default_chunk,
    _fused_losses_and_logit_grads,
    _losses_and_logit_grads,
)


def example(tokens=23, width=12, vocab=37, dtype=torch.float64):
    hidden = torch.randn(tokens, width, dtype=dtype, requires_grad=True)
    head = torch.randn(vocab, width, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocab, (tokens,))
    weights = (torch.rand(tokens) * (torch.rand(tokens) > 0.3)).to(dtype)
    return hidden, head, targets, weights


@pytest.mark.parametrize("chunk", [1, 8, 23, 100])
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.05)]
)
def test_value_and_gradients_equal_the_plain_loss(chunk, dtype, tolerance):
    hidden, head, targets, weights = example(dtype=dtype)
    exact = [x.detach().double().requires_grad_() for x in (hidden, head)]
    expected = reference_cross_entropy(linear(*exact), targets, weights.double())
    found = cross_entropy(hidden, head, targets, weights, chunk=chunk)
    assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    gradients = torch.autograd.grad(2 * found, (hidden, head))
    for one, other in zip(gradients, torch.autograd.grad(2 * expected, exact), strict=True):
        assert one.dtype == dtype
        assert_close(one.double(), other, rtol=tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("terms", [LossTerms(0.1), LossTerms(0.0, 0.01), LossTerms(0.2, 0.003)])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_smoothing_and_z_loss_are_torch_s_and_the_formula_s(terms, softcap):
    hidden, head, targets, weights = example()
    bias = torch.randn(len(head), dtype=hidden.dtype, requires_grad=True)
    leaves = (hidden, head, bias)
    logits = linear(hidden, head, bias)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    nats = functional.cross_entropy(
        logits, targets, reduction="none", label_smoothing=terms.smoothing
    )
    plain = (weights * (nats + terms.z * logits.logsumexp(-1) ** 2)).sum()
    found = cross_entropy(
        hidden, head, targets, weights, bias=bias, softcap=softcap, chunk=8, terms=terms
    )
    assert_close(found, plain, rtol=1e-12, atol=1e-12)
    pairs = (torch.autograd.grad(loss, leaves) for loss in (found, plain))
    for one, other in zip(*pairs, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_parts_of_a_batch_add_up():
    hidden, head, targets, weights = example()
    whole = cross_entropy(hidden, head, targets, weights)
    parts = [cross_entropy(*(x[i::3] for x in (hidden,)), head, targets[i::3], weights[i::3])
             for i in range(3)]  # fmt: skip
    assert_close(sum(parts), whole)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    found = cross_entropy(torch.zeros(5, 4), torch.ones(32, 4), torch.arange(5), torch.ones(5))
    assert found.item() == pytest.approx(5 * math.log(32), rel=1e-6)


def test_tokens_without_weight_have_neither_loss_nor_gradient():
    hidden, head, targets, _ = example()
    cross_entropy(hidden, head, targets, torch.zeros(23, dtype=torch.float64)).backward()
    assert not hidden.grad.any()
    assert not head.grad.any()


def test_huge_logits_stay_finite():
    hidden = torch.full((2, 4), 1e4, requires_grad=True)
    loss = cross_entropy(hidden, torch.eye(4), torch.tensor([0, 1]), torch.ones(2))
    loss.backward()
    assert loss.isfinite()
    assert hidden.grad.isfinite().all()


def test_under_autocast_products_are_bfloat16_and_gradients_float32():
    hidden, head, targets, weights = example(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(hidden, head, targets, weights)
    expected = reference_cross_entropy(linear(hidden, head), targets, weights)
    assert found.dtype == torch.float32
    assert found != expected
    assert_close(found, expected, rtol=0.01, atol=0.01)
    found.backward()
    assert head.grad.dtype == torch.float32


def test_nothing_is_computed_for_a_head_that_is_frozen():
    hidden, head, targets, weights = example()
    cross_entropy(hidden, head.detach(), targets, weights).backward()
    assert hidden.grad.any()
    assert head.grad is None


@pytest.mark.slow
def test_the_compiled_softmax_agrees():
    hidden, head, targets, weights = example(dtype=torch.float32)
    plain = cross_entropy(hidden, head, targets, weights)
    compiled = cross_entropy(hidden, head, targets, weights, compiled=True)
    assert_close(compiled, plain)
    for one, other in zip(*(torch.autograd.grad(x, (hidden, head)) for x in (plain, compiled)),
                          strict=True):  # fmt: skip
        assert_close(one, other)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_a_bias_and_capped_logits_have_the_plain_gradients(softcap):
    hidden, head, targets, weights = example()
    bias = torch.randn(37, dtype=torch.float64, requires_grad=True)
    logits = linear(hidden, head, bias)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    expected = reference_cross_entropy(logits, targets, weights)
    found = cross_entropy(hidden, head, targets, weights, bias=bias, softcap=softcap, chunk=5)
    assert_close(found, expected, atol=1e-12, rtol=1e-12)
    leaves = (hidden, head, bias)
    gradients = torch.autograd.grad(found, leaves)
    for one, other in zip(gradients, torch.autograd.grad(expected, leaves), strict=True):
        assert_close(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_softmax_without_a_scatter_has_the_same_bits(dtype):
    logits, targets = torch.randn(9, 21).to(dtype), torch.randint(21, (9,))
    weights = torch.rand(9)
    plain = _losses_and_logit_grads(logits.clone(), targets, weights)
    for one, other in zip(
        plain, _fused_losses_and_logit_grads(logits, targets, weights), strict=True
    ):
        assert_close(one, other, atol=0, rtol=0)


def test_the_gradients_are_given_once():
    hidden, head, targets, weights = example()
    found = cross_entropy(hidden, head, targets, weights)
    found.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="supports one backward pass"):
        found.backward()


def test_chunks_keep_logits_within_their_bytes(monkeypatch):
    assert _default_chunk(4096, 2) == 2048
    assert _default_chunk(50_304, 2) * 50_304 * 2 <= 2**26
    assert _default_chunk(2**20, 4) == 128
    monkeypatch.setenv("GROUNDUP_LOSS_CHUNK", "7")
    assert _default_chunk(4096, 2) == 7


@pytest.mark.parametrize("wanted", ["-1", "0", "many", "1.5"])
def test_a_chunk_that_cannot_be_is_refused(wanted, monkeypatch):
    monkeypatch.setenv("GROUNDUP_LOSS_CHUNK", wanted)
    with pytest.raises(
        ConfigError, match=f"GROUNDUP_LOSS_CHUNK={wanted} must be a positive number of tok"
    ):
        _default_chunk(300, 4)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("chunk", [1, 8, 100])
def test_log_probabilities_have_the_gradients_of_any_function_of_them(chunk, softcap):
    hidden, head, targets, _ = example()
    bias = torch.randn(len(head), dtype=hidden.dtype, requires_grad=True)
    leaves, answers = (hidden, head, bias), torch.arange(23) % 4
    logits = linear(hidden, head, bias)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    plain = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    found = token_logprobs(hidden, head, targets, bias=bias, softcap=softcap, chunk=chunk)
    assert_close(found, plain, rtol=1e-12, atol=1e-12)
    losses = [
        -functional.logsigmoid(0.1 * each.new_zeros(4).index_add(0, answers, each)).sum()
        for each in (found, plain)
    ]
    ours, theirs = (torch.autograd.grad(loss, leaves, retain_graph=True) for loss in losses)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-12)
    again = torch.autograd.grad(losses[0], leaves)
    assert all(map(torch.equal, ours, again)), "a second backward gives the same"


def test_log_probabilities_under_autocast_and_of_a_frozen_head():
    hidden, head, targets, _ = example(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = token_logprobs(hidden, head.detach(), targets)
    plain = linear(hidden, head).log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    assert found.dtype == torch.float32
    assert_close(found, plain, rtol=0.05, atol=0.05)
    found.sum().backward()
    assert hidden.grad is not None and hidden.grad.dtype == torch.float32 and head.grad is None
    assert len(token_logprobs(hidden[:0], head, targets[:0])) == 0
