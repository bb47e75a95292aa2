"""A step of fixed shape computes what the model does, and waits for no number."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.core import CapacityError
from groundup.model import Cache, GraphStep, fits_graph
from tests.model.shapes import DECODERS, ENCODER_DECODERS, VOCAB, tiny_model

FITTING = [name for name in DECODERS if fits_graph(tiny_model(DECODERS[name]))]


def padded_batch(model, capacity=24):
    """Two sequences of five and three tokens, ending in one column."""
    cache = Cache(model.config, 2, capacity, torch.float64)
    documents = torch.tensor([[0, 0, 0, 0, 0], [-1, -1, 0, 0, 0]])
    positions = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 0, 1, 2]])
    ids = torch.randint(VOCAB, (2, 5))
    model(ids, cache=cache, documents=documents, positions=positions)
    return cache, torch.tensor([5, 3])


def test_dense_decoders_without_biases_of_scores_fit():
    assert {"gpt2", "grouped", "gemma3", "multi-query"} <= set(FITTING)
    assert not {"alibi", "buckets", "mixtral", "gopher"} & set(FITTING)
    assert not any(fits_graph(tiny_model(config)) for config in ENCODER_DECODERS.values())


@pytest.mark.parametrize("name", FITTING)
@torch.inference_mode()
def test_a_step_is_the_forward_pass(name):
    torch.manual_seed(0)
    model = tiny_model(DECODERS[name])
    (cache, positions), plain = padded_batch(model), Cache(model.config, 2, 24, torch.float64)
    plain.keys = [keys.clone() for keys in cache.keys]
    plain.values = [values.clone() for values in cache.values]
    plain.length, plain.document_indices = cache.length, cache.document_indices.clone()
    step = GraphStep(model, cache, positions)
    for n in range(10):
        ids = torch.randint(VOCAB, (2, 1))
        wanted = model(ids, cache=plain, positions=positions[:, None] + n)
        assert_close(step.run(ids), wanted, rtol=0, atol=1e-12)
    assert cache.length == plain.length and step.is_current
    cache.truncate(12)
    assert not step.is_current


@torch.inference_mode()
def test_a_full_cache_takes_no_step():
    model = tiny_model(DECODERS["gpt2"])
    cache, positions = padded_batch(model, capacity=6)
    step = GraphStep(model, cache, positions)
    step.run(torch.zeros(2, 1, dtype=torch.long))
    with pytest.raises(CapacityError, match="capacity for 6 tokens and 7"):
        step.run(torch.zeros(2, 1, dtype=torch.long))


class NothingRead(TorchDispatchMode):
    """Fails where Python reads a tensor's numbers."""

    READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").partition(".")[0]
        assert name not in self.READS, f"a graph cannot hold {name}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FITTING)
@torch.no_grad()
def test_a_step_waits_for_no_number(name):
    model = tiny_model(DECODERS[name])
    step = GraphStep(model, *padded_batch(model))
    step.compute()  # what is computed once a process
    with NothingRead():
        step.compute()
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            int(step.fixed.column)
