"""A paged model gives the logits of the plain one, in any chunks and any company."""

import pytest
import torch
from torch.testing import assert_close

from groundup.compress import quantize_weights
from groundup.core import ConfigError, device
from groundup.model import (
    NativeDecoder,
    PagedBatch,
    Transformer,
    supports,
    unsupported_reason,
)
from tests.model.paged import PagedTransformer
from tests.model.shapes import DECODERS, ENCODERS, NATIVE, VOCAB, tiny_model

needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
TABLES = torch.tensor([[3, 1], [0, 2]])
"""Blocks of two sequences of up to 64 tokens, in no order."""


def batch_of(*parts, tables=TABLES):
    """A batch of (ids, first position); all logits are wanted."""
    lengths = torch.tensor([0, *(len(ids) for ids, _ in parts)])
    positions = [torch.arange(first, first + len(ids)) for ids, first in parts]
    ids = torch.cat([torch.tensor(ids) for ids, _ in parts])
    return PagedBatch(
        ids, torch.cat(positions), lengths.cumsum(0), tables[: len(parts)], torch.arange(len(ids)),
    )  # fmt: skip


def logits_of(model, ids):
    return model.logits(torch.tensor([ids]))[0]


@pytest.fixture(scope="module", params=NATIVE)
def native_model(request):
    torch.manual_seed(0)
    return tiny_model(DECODERS[request.param], torch.float32)


IDS = torch.randint(VOCAB, (2, 64), generator=torch.Generator().manual_seed(0)).tolist()


@needs_compiler
def test_the_stack_supports_dense_decoders_alone(native_model, monkeypatch):
    assert supports(native_model)
    for config in [*(DECODERS[name] for name in set(DECODERS) - set(NATIVE)), *ENCODERS.values()]:
        assert not supports(tiny_model(config, torch.float32))
    assert unsupported_reason(native_model) == ""
    assert unsupported_reason(native_model.double()) == "weights of torch.float64"
    monkeypatch.setenv("GROUNDUP_STACK", "torch")
    assert unsupported_reason(native_model.float()) == "GROUNDUP_STACK=torch"


@needs_compiler
@torch.inference_mode()
def test_native_logits_are_the_models(native_model):
    decoder = NativeDecoder(native_model, 4)
    got = decoder.run(batch_of((IDS[0], 0)))
    assert_close(got, logits_of(native_model, IDS[0]), rtol=1e-4, atol=1e-4)


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize("cache", [torch.float32, torch.bfloat16, torch.int8])
def test_chunks_and_company_change_no_bit(native_model, cache):
    whole = NativeDecoder(native_model, 4, cache_dtype=cache).run(batch_of((IDS[0], 0)))
    decoder, parts, at, other = NativeDecoder(native_model, 4, cache_dtype=cache), [], 0, 0
    for size, beside in ((1, 0), (30, 20), (2, 1), (7, 40), (24, 0)):
        company = [(IDS[1][other : other + beside], other)] if beside else []
        tables = TABLES[[1, 0]] if beside else TABLES
        batch = batch_of(*company, (IDS[0][at : at + size], at), tables=tables)
        parts.append(decoder.run(batch)[beside:])
        at, other = at + size, other + beside
    assert torch.equal(torch.cat(parts), whole)


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["grouped", "gemma3", "alibi"])
def test_a_long_prompt_has_the_same_bits_in_chunks(name, dtype):
    torch.manual_seed(0)
    config = DECODERS[name].model_copy(update={"context_length": 320})
    model, ids = tiny_model(config, dtype), torch.randint(VOCAB, (320,)).tolist()
    tables = torch.randperm(20).view(2, 10)
    whole = NativeDecoder(model, 20).run(batch_of((ids, 0), tables=tables))
    decoder, parts, at = NativeDecoder(model, 20), [], 0
    for size in (100, 1, 30, 17, 64, 108):
        batch = batch_of((ids[at : at + size], at), (ids[:5], 0), tables=tables)
        parts.append(decoder.run(batch)[:size])
        at += size
    assert torch.equal(torch.cat(parts), whole)
    wanted = logits_of(model, ids).float()
    assert (whole - wanted).norm() < (1e-4 if dtype == torch.float32 else 0.03) * wanted.norm()


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize("cache", [torch.float32, torch.bfloat16])
def test_what_a_block_held_before_changes_nothing(native_model, cache):
    decoder = NativeDecoder(native_model, 4, cache_dtype=cache)
    wanted = decoder.run(batch_of((IDS[0][:40], 0)))
    for tensor in (*decoder.cache.keys, *decoder.cache.values):
        tensor.fill_(torch.nan)
    assert torch.equal(decoder.run(batch_of((IDS[0][:40], 0))), wanted)


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize(("bits", "share"), [(16, 0.05), (8, 0.1), (4, 0.9)])
def test_fewer_bits_are_near(bits, share):
    torch.manual_seed(0)
    model = tiny_model(DECODERS["gpt2"].model_copy(update={"width": 64}), torch.float32)
    wanted = logits_of(model, IDS[0])
    got = NativeDecoder(model, 4, bits=bits).run(batch_of((IDS[0], 0)))
    assert (got - wanted).norm() < share * wanted.norm()


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize(("bits", "group"), [(8, None), (8, 32), (4, 64), (4, 32)])
def test_stored_integers_are_multiplied_as_they_are(bits, group):
    torch.manual_seed(0)
    gpt2 = DECODERS["gpt2"]
    attention = gpt2.attention.model_copy(update={"head_dim": 16})
    feed = gpt2.feedforward.model_copy(update={"width": 128})
    sizes = {"width": 64, "attention": attention, "feedforward": feed}
    model = tiny_model(gpt2.model_copy(update=sizes), torch.float32)
    quantize_weights(model, bits, group)
    decoder = NativeDecoder(model, 4)
    assert decoder.weights.layers[0].qkv.format == {8: 2, 4: 3}[bits]
    assert decoder.weights.head.format == 0, "what is kept as floats stays so"
    got, wanted = decoder.run(batch_of((IDS[0], 0))), logits_of(model, IDS[0])
    assert (got - wanted).norm() < 0.05 * wanted.norm(), "activations alone are rounded"
    floats = NativeDecoder(model, 4, bits=32).run(batch_of((IDS[0], 0)))
    assert_close(floats, wanted, rtol=1e-4, atol=1e-4)
    decoder.refresh()
    assert torch.equal(decoder.run(batch_of((IDS[0], 0))), got)


@needs_compiler
@torch.inference_mode()
def test_integers_that_the_stack_has_no_product_for_are_floats_there():
    model = tiny_model(DECODERS["gpt2"], torch.float32)
    assert model.config.width % 32, "no group fills a register"
    quantize_weights(model, 8)
    decoder = NativeDecoder(model, 4)
    assert decoder.weights.layers[0].qkv.format == 0
    wanted = logits_of(model, IDS[0])
    assert_close(decoder.run(batch_of((IDS[0], 0))), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(DECODERS) - {"dynamic"}))  # whose capacity counts
@pytest.mark.parametrize("cut", [32, 57])
def test_a_paged_forward_pass_is_the_plain_one(name, cut):
    torch.manual_seed(0)
    model = tiny_model(DECODERS[name])
    with torch.inference_mode():
        decoder = PagedTransformer(model, 4)
        first = decoder.run(batch_of((IDS[0][:cut], 0)))
        both = decoder.run(batch_of((IDS[0][cut:], cut), (IDS[1], 0)))
        wanted = torch.cat([logits_of(model, ids) for ids in IDS])
    assert_close(torch.cat([first, both]), wanted, rtol=0, atol=1e-12)


@needs_compiler
def test_a_copied_block_is_equal_in_all_layers(native_model):
    for decoder in (NativeDecoder(native_model, 4), PagedTransformer(native_model, 4)):
        with torch.inference_mode():
            decoder.run(batch_of((IDS[0][:40], 0)))
            decoder.copy_block(3, 2)
            copied = decoder.run(batch_of((IDS[0][32:33], 32), tables=torch.tensor([[2, 1]])))
            again = decoder.run(batch_of((IDS[0][32:33], 32)))
        assert torch.equal(copied, again)
    assert NativeDecoder(native_model, 4).cache_bytes > 0


@pytest.mark.parametrize("name", ["dynamic", "longrope"])
def test_a_rotation_by_the_sequences_length_is_refused_by_its_name(name):
    with pytest.raises(ConfigError, match=f"cannot run this model.*{name}"):
        NativeDecoder(tiny_model(DECODERS[name], torch.float32), 4)


def test_what_cannot_be_paged_is_refused():
    encoder = Transformer(ENCODERS["bert"])
    with pytest.raises(ConfigError, match="cannot run this model"):
        NativeDecoder(encoder, 4)


@needs_compiler
@pytest.mark.parametrize("bits", [32, 16, 8, 4])
@torch.inference_mode()
def test_changed_weights_are_packed_into_the_same_memory(bits):
    torch.manual_seed(0)
    config = DECODERS["grouped"].model_copy(update={"width": 64})
    model, other = tiny_model(config, torch.float32), tiny_model(config, torch.float32)
    decoder = NativeDecoder(model, 4, bits=bits)
    before = [each.weights.data_ptr() for each in decoder.weights.matrices]
    model.load_state_dict(other.state_dict())
    decoder.refresh()
    assert [each.weights.data_ptr() for each in decoder.weights.matrices] == before
    batch = batch_of((IDS[0], 0))
    assert torch.equal(decoder.run(batch), NativeDecoder(other, 4, bits=bits).run(batch))
