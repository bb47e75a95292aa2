"""Attention and its cache: the same numbers with a cache as without."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import CapacityError
from groundup.model import Cache
from groundup.model.attention import Attention, Context
from groundup.model.positions import compute_rotation, rope_frequencies
from tests.model.shapes import VOCAB, tiny_config, tiny_model


def layer(**config) -> Attention:
    return tiny_model(tiny_config(**config)).layers[0].attention


def run(attention, hidden, first=0):
    positions = torch.arange(first, first + hidden.shape[1])[None]
    by = compute_rotation(positions, rope_frequencies(6, dtype=torch.float64))
    return attention(hidden, Context(rotation=by))


def test_shifting_all_positions_changes_nothing():
    attention, hidden = layer(), torch.randn(2, 5, 16, dtype=torch.float64)
    assert_close(run(attention, hidden), run(attention, hidden, 30), atol=1e-12, rtol=0)


def test_with_normed_queries_and_keys_their_size_does_not_matter():
    attention, hidden = layer(), torch.randn(2, 5, 16, dtype=torch.float64)
    before = run(attention, hidden)
    attention.q_proj.weight.data *= 1000
    assert_close(run(attention, hidden), before, atol=1e-5, rtol=0)
    plain = layer(qk_norm="none")
    before = run(plain, hidden)
    plain.q_proj.weight.data *= 1000
    assert not torch.allclose(run(plain, hidden), before)


def test_queries_and_keys_are_normed_over_a_head_or_over_all_heads():
    hidden = torch.randn(2, 5, 16, dtype=torch.float64)
    for kind, over in (("head", (-1,)), ("all", (-2, -1))):
        attention = layer(qk_norm=kind)
        attention.q_norm.weight.data.fill_(1.0)
        attention.k_norm.weight.data.fill_(1.0)
        for found in (attention.queries(hidden), attention.keys_values(hidden).keys):
            squares = found.transpose(1, 2).square().mean(over)  # heads last but one
            assert_close(squares, torch.ones_like(squares), atol=1e-3, rtol=0)
        assert attention.queries(hidden).shape == (2, 4, 5, 6)


EXACT = {"atol": 1e-12, "rtol": 0}


def cache_for(model, batch, capacity=64):
    return Cache(model.config, batch, capacity, torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("chunks", [[12], [1] * 12, [5, 1, 1, 3, 2], [11, 1]])
def test_any_split_into_calls_equals_one_forward(kv_heads, chunks):
    model = tiny_model(tiny_config(kv_heads=kv_heads))
    ids = torch.randint(VOCAB, (3, 12))
    cache = cache_for(model, 3)
    parts = [model.logits(part, cache=cache) for part in ids.split(chunks, dim=1)]
    assert_close(torch.cat(parts, 1), model.logits(ids), **EXACT)
    assert cache.length == 12


@torch.no_grad()
@pytest.mark.parametrize("has_positions", [False, True])
def test_a_row_padded_on_the_left_computes_what_it_would_alone(has_positions):
    model, lengths = tiny_model(), [7, 3, 5]
    prompts = [torch.randint(1, VOCAB, (1, length)) for length in lengths]
    ids = torch.cat([torch.nn.functional.pad(p, (7 - p.shape[1], 0)) for p in prompts])
    documents = torch.tensor([[-1] * (7 - n) + [0] * n for n in lengths])
    starts = torch.tensor(lengths)[:, None] - 7
    cache, more = cache_for(model, 3), torch.randint(VOCAB, (3, 4))
    for start, part in ((0, ids), *((7 + i, more[:, i : i + 1]) for i in range(4))):
        places = torch.arange(start, start + part.shape[1])[None] + starts
        logits = model.logits(
            part,
            cache=cache,
            documents=documents if start == 0 else None,
            positions=places.clamp(min=0) if has_positions else None,
            last_only=True,
        )
        done = start + part.shape[1] - 7
        for row, prompt in enumerate(prompts):
            alone = torch.cat([prompt, more[row : row + 1, :done]], 1)
            assert_close(logits[row, -1], model.logits(alone)[0, -1], **EXACT)


@torch.no_grad()
def test_truncating_forgets_and_selecting_keeps_rows():
    model, ids = tiny_model(), torch.randint(VOCAB, (3, 8))
    cache = cache_for(model, 3)
    documents = torch.tensor([[-1, 0, 0, 0, 0], [0] * 5, [-1, -1, 0, 0, 0]])
    model(ids[:, :5], cache=cache, documents=documents)
    kept = model.logits(ids[:, 5:6], cache=cache)
    model(ids[:, 6:], cache=cache)
    cache.truncate(5)
    cache.select(torch.tensor([2, 0]))
    assert_close(model.logits(ids[[2, 0], 5:6], cache=cache), kept[[2, 0]], **EXACT)
    assert cache.documents.shape == (2, 6)


def test_too_many_tokens_are_refused_before_anything_is_written():
    model = tiny_model()
    cache = cache_for(model, 1, capacity=4)
    with pytest.raises(CapacityError, match="capacity for 4 tokens and 5 are needed"):
        model(torch.zeros(1, 5, dtype=torch.long), cache=cache)
    assert cache.length == 0
    with pytest.raises(CapacityError, match="65 tokens do not fit.*context_length=64"):
        model(torch.zeros(1, 65, dtype=torch.long))


def test_its_memory_is_what_the_description_says():
    from groundup.model import cache_bytes_per_token

    config = tiny_config()
    cache = Cache(config, 3, 10, torch.bfloat16)
    assert cache.bytes == 30 * cache_bytes_per_token(config, torch.bfloat16)
