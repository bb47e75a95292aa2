"""Answers that share their prompt in a row are what whole texts are, and take fewer positions."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align.packing import PADDING, RenderedAnswer, pack_groups, target_logprobs
from groundup.align.policy.forks import fork_rows
from groundup.core import ConfigError
from groundup.kernels import (
    AttentionPattern,
    Branches,
    Mask,
    branched_attention,
    reference_attention,
)
from groundup.model import ModelConfig, Transformer, may_fork
from groundup.train import split_batch

SIZES = {
    "vocab_size": 50, "width": 32, "layers": 2, "context_length": 64,
    "feedforward": {"width": 48},
}  # fmt: skip
HEADS = {"heads": 4, "kv_heads": 2, "head_dim": 8}
KINDS = {
    "rotary": {},
    "learned": {"position": {"kind": "learned"}},
    "window": {"attention": {**HEADS, "patterns": [{"kind": "window", "window": 6}]}},
    "parallel": {"parallel": True, "position": {"rotated": 0.5, "interleaved": True}},
}


def answers(prompts, count, longest):
    """Random answers to prompts of some lengths, some of which end early."""
    rng, made = np.random.default_rng(0), []
    for begin in prompts:
        prompt = rng.integers(50, size=begin)
        for length in [longest, *rng.integers(1, longest + 1, size=count - 1)]:
            ids = np.concatenate([prompt, rng.integers(50, size=length)])
            is_answer = np.arange(len(ids)) >= begin
            sampled = np.where(is_answer, rng.normal(size=len(ids)), 0).astype(np.float32)
            made.append(RenderedAnswer(ids, is_answer, sampled * 2, sampled, np.array(length)))
    return made


def flat(batch):
    """What the loss reads, in the order of its rows."""
    is_answer = batch.targets != PADDING
    columns = (batch.targets, batch.reference, batch.sampled, batch.advantages)
    _, answer = torch.unique(batch.documents[is_answer], return_inverse=True)
    return [*(each[is_answer] for each in columns), answer]


@pytest.mark.parametrize("kind, row_tokens", [*((kind, 64) for kind in KINDS), ("rotary", 31)])
def test_log_probabilities_and_gradients_are_those_of_whole_texts(kind, row_tokens):
    model = Transformer(ModelConfig(**SIZES | {"attention": HEADS} | KINDS[kind])).double()
    model.train()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    made = answers((9, 14, 11), 4, 6)
    forked, packed = fork_rows(made, 4, row_tokens), pack_groups([[each] for each in made], 20)
    assert forked is not None and may_fork(model)
    assert forked.ids.shape[1] <= row_tokens
    assert forked.ids.numel() < sum(each.length for each in made)
    assert forked.weights.sum() == packed.weights.sum() == len(made)
    found = {}
    for name, batches in {"forked": split_batch(forked, 2), "packed": [packed]}.items():
        model.zero_grad()
        logprobs = torch.cat([target_logprobs(model, each) for each in batches])
        rows = [torch.cat(each) for each in zip(*map(flat, batches), strict=True)]
        order = torch.cat([each.documents[each.targets != PADDING] for each in batches]).argsort(
            stable=True
        )
        (logprobs[order] * rows[3][order]).sum().backward()
        grads = [weight.grad.clone() for weight in model.parameters()]
        found[name] = [logprobs[order], *(each[order] for each in rows[:4]), *grads]
    for ours, expected in zip(found["forked"], found["packed"], strict=True):
        assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_rows_do_not_fork_where_whole_texts_take_fewer_positions():
    assert fork_rows(answers((3, 3), 4, 30), 4, 512) is None
    assert fork_rows(answers((20,), 1, 5), 1, 512) is None, "nothing is shared"
    assert fork_rows(answers((1, 1), 4, 5), 4, 512) is None, "a prompt of one token has no trunk"


@pytest.mark.parametrize("count, row_tokens, rows, branches", [
    (5, 512, 2, 5), (5, 36, 4, 3), (5, 30, 6, 2), (6, 40, 4, 3), (5, 28, 0, 0), (5, 10, 0, 0),
])  # fmt: skip
def test_a_row_is_never_longer_than_asked(count, row_tokens, rows, branches):
    made = answers((20, 20), count, 5)
    forked = fork_rows(made, count, row_tokens)
    if not rows:
        assert forked is None, "not even two answers fit"
        return
    assert forked.ids.shape == (rows, 19 + 5 * branches) and 19 + 5 * branches <= row_tokens
    assert forked.branches == Branches(19, branches)
    found = [row[row >= 0].unique_consecutive() for row in forked.documents]
    assert torch.cat(found).unique().numel() == rows + len(made)
    assert int((forked.targets != PADDING).sum()) == sum(int(each.is_answer.sum()) for each in made)


LATENT = {
    "heads": 4, "kv_heads": 4, "head_dim": 8, "qk_norm": "none",
    "latent": {"rank": 8, "rotated": 4, "value_dim": 8},
}  # fmt: skip


@pytest.mark.parametrize("parts", [
    {"position": {"kind": "alibi"}}, {"position": {"kind": "transformer_xl"}},
    {"attention": LATENT},
])  # fmt: skip
def test_models_whose_attention_sees_positions_in_a_row_do_not_fork(parts):
    model = Transformer(ModelConfig(**SIZES | parts))
    assert not may_fork(model)
    ids = torch.zeros(1, 9, dtype=torch.long)
    with pytest.raises(ConfigError, match="rows cannot fork"):
        model(ids, documents=ids, positions=ids, branches=Branches(3, 2))


@pytest.mark.parametrize("pattern", [AttentionPattern(), AttentionPattern("window", 3)])
def test_a_branch_attends_as_if_it_stood_alone_behind_the_trunk(pattern):
    trunk, count, length, before, after = 5, 3, 4, 2, 1
    rows = trunk + count * length
    q, k, v = torch.randn(3, 1, 2, rows, 8, dtype=torch.float64)
    documents = torch.arange(rows)[None] // length
    documents[:, :before] = -1
    documents[:, -after:] = -1
    mask = Mask(documents=documents, pattern=pattern)
    found = branched_attention(q, k, v, mask=mask, branches=Branches(trunk, count))
    for branch in range(count):
        start = trunk + branch * length
        places = [*range(before, trunk), *range(start, start + length)]
        places = places[:-after] if branch == count - 1 else places
        own = [x[:, :, places] for x in (q, k, v)]
        expected = reference_attention(*own, mask=Mask(pattern=pattern))
        assert_close(found[:, :, places], expected)
    assert not found[:, :, :before].any() and not found[:, :, -after:].any()
