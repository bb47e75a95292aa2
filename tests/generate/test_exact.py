"""The exact forward pass has the sampler's log-probabilities to the bit, and torch's gradients."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import CapacityError, ConfigError, Sampling, ShapeError, device
from groundup.generate import (
    BatchEngine,
    DecodeRequest,
    ExactForward,
    NgramDrafter,
    SchedulerLimits,
)
from groundup.kernels import QuantizedLinear
from groundup.model import NativeDecoder
from groundup.train import MicroBatch, causal_loss
from tests.model.shapes import DECODERS, NATIVE, VOCAB, tiny_model

pytestmark = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
IDS = torch.randint(VOCAB, (3, 50), generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(VOCAB, (3, 50), generator=torch.Generator().manual_seed(1))
DOCUMENTS = torch.zeros(3, 50, dtype=torch.long)
DOCUMENTS[0, 20:], DOCUMENTS[1, 40:] = 1, -1  # two documents, one with padding, one alone


@pytest.fixture(autouse=True)
def threads():
    """One, unless a test sets it: models this small cost less than waking a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def float_model(name="grouped"):
    torch.manual_seed(0)
    config = DECODERS[name]
    wide = config.feedforward.model_copy(update={"width": 72})  # more than a group of activations
    return tiny_model(config.model_copy(update={"feedforward": wide}), torch.float32).train()


def rollouts(model):
    """Prompts and what was sampled: in company, greedily and not, with drafts and shared blocks."""
    engine = BatchEngine(
        NativeDecoder(model, 24), limits=SchedulerLimits(token_budget=17), drafter=NgramDrafter
    )
    shared = IDS[0, :40].tolist()
    prompts = [shared + [3], IDS[1, :7].tolist(), shared + [5, 6], [1], shared]
    settings = [Sampling(max_tokens=9, temperature=0.5 * (i % 3)) for i in range(len(prompts))]
    requests = map(DecodeRequest, prompts, settings)
    first = engine.add(next(requests))
    events = list(engine.stream([first]))  # its blocks are there for those that begin alike
    events += engine.stream([engine.add(each) for each in requests])
    assert engine.metrics.shared_tokens > 0
    ended = {each.request: each.ended for each in events if each.ended is not None}
    return prompts, [ended[number] for number in sorted(ended)]


@pytest.mark.parametrize(
    ("name", "of_sampler", "of_trainer"),
    [*((name, 1, 1) for name in NATIVE), ("grouped", 1, 2), ("gemma3", 2, 1)],
)
def test_rollouts_have_the_samplers_bits_after_a_step_too(name, of_sampler, of_trainer):
    model = float_model(name)
    exact = ExactForward(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(2):
        torch.set_num_threads(of_sampler)
        prompts, answers = rollouts(model)
        torch.set_num_threads(of_trainer)
        found = exact.answer_logprobs(prompts, [each.ids for each in answers])
        for got, answer in zip(found, answers, strict=True):
            assert torch.equal(got.double(), torch.tensor(answer.logprobs, dtype=torch.float64))
        torch.stack([each.sum() for each in found]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def gradients(model, logprobs):
    weights = torch.rand(IDS.shape, generator=torch.Generator().manual_seed(2))
    model.zero_grad()
    (logprobs * weights).sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("vocab_size", [None, 23])
@pytest.mark.parametrize("name", NATIVE)
def test_gradients_are_those_of_the_models_forward_pass(name, vocab_size):
    model, targets = float_model(name), TARGETS % (vocab_size or VOCAB)
    exact = ExactForward(model, vocab_size=vocab_size)
    logprobs = exact.log_probs(IDS, targets, documents=DOCUMENTS)
    logits = model.logits(IDS, documents=DOCUMENTS)[..., :vocab_size]
    plain = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0] * (DOCUMENTS >= 0)
    assert_close(logprobs, plain, rtol=1e-4, atol=1e-4)
    wanted = gradients(model, plain)
    total = torch.stack([each.norm() for each in wanted.values()]).norm()
    for weight, got in gradients(model, logprobs).items():
        scale = max(wanted[weight].norm(), 1e-3 * total)  # some are zero but for rounding
        assert (got - wanted[weight]).norm() < 1e-4 * scale, weight


def test_the_loss_is_the_causal_one_and_skips_what_has_no_weight():
    model = float_model("gemma3")
    exact = ExactForward(model)
    weights = torch.rand(IDS.shape, generator=torch.Generator().manual_seed(3))
    weights[:, ::3], weights[1, 40:] = 0, 0
    batch = MicroBatch(IDS, TARGETS, weights, DOCUMENTS)
    own, plain = exact.loss(model, batch), causal_loss(model, batch)
    assert own.weight == plain.weight
    assert_close(own.total, plain.total, rtol=1e-5, atol=0)
    with torch.no_grad():
        assert torch.equal(exact.loss(model, batch).total, own.total)
    own.total.backward()
    with pytest.raises(RuntimeError):
        own.total.backward()


def test_frozen_weights_get_no_gradients():
    model = float_model()
    for name, weight in model.named_parameters():
        weight.requires_grad_("v_proj" in name)
    ExactForward(model).log_probs(IDS, TARGETS).sum().backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) == ("v_proj" in name)


def test_what_has_no_exact_values_is_refused():
    with pytest.raises(ConfigError, match="native stack computes"):
        ExactForward(tiny_model(DECODERS["mixtral"], torch.float32))
    with pytest.raises(ConfigError, match="float32 decoder"):
        ExactForward(tiny_model(DECODERS["gpt2"], torch.bfloat16))
    model = float_model()
    exact = ExactForward(model)
    with torch.autocast("cpu"), pytest.raises(ConfigError, match="autocast"):
        exact.log_probs(IDS, TARGETS)
    for name, value in (("is_compiled", True), ("recompute", "all"), ("dropout", 0.1)):
        before = getattr(model, name)
        setattr(model, name, value)
        with pytest.raises(ConfigError, match="not compiled"):
            exact.log_probs(IDS, TARGETS)
        setattr(model, name, before)
    batch = MicroBatch(IDS, TARGETS, torch.ones(IDS.shape), None)
    with pytest.raises(ConfigError, match="another model"):
        exact.loss(float_model(), batch)
    with pytest.raises(ConfigError, match="causal batches"):
        exact.loss(model, batch._replace(prefix=torch.ones_like(IDS, dtype=torch.bool)))
    with pytest.raises(ShapeError, match="number comes twice"):
        exact.log_probs(IDS, TARGETS, documents=torch.arange(50).expand(3, 50) % 2)
    with pytest.raises(ShapeError, match="padding alone"):
        exact.log_probs(IDS, TARGETS, documents=torch.full_like(IDS, -1))
    with pytest.raises(ShapeError, match="out of range"):
        exact.log_probs(IDS + VOCAB, TARGETS)
    with pytest.raises(ShapeError, match="at least one token"):
        exact.answer_logprobs([[1]], [[]])
    with pytest.raises(CapacityError, match="context of 64"):
        exact.log_probs(IDS.repeat(1, 2), TARGETS.repeat(1, 2))
    q = model.layers[0].attention.q_proj
    model.layers[0].attention.q_proj = QuantizedLinear.from_linear(q)
    with pytest.raises(ConfigError, match="own linear layers"):
        exact.log_probs(IDS, TARGETS)
