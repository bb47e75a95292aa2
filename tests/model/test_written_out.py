"""Architectures that no peer has: equal to a forward pass written out from their papers.

One token, one head and one expert at a time, from the weights alone; nothing of groundup's
attention, norms, positions or experts is used.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from groundup.model import Transformer, preset
from tests.model.shapes import tiny_model

LENGTH = 40


def small(name: str) -> Transformer:
    """The tiny preset, smaller still and in float64, every weight of some size."""
    config = preset(name).config
    part = config.attention.model_copy(update={"heads": 4, "kv_heads": 4, "head_dim": 6})
    feed = config.feedforward.model_copy(update={"width": 20})
    changes = {"vocab_size": 29, "width": 16, "layers": 2, "context_length": 64}
    return tiny_model(config.model_copy(update=changes | {"attention": part, "feedforward": feed}))


def rms(x, w, eps=1e-6):
    return w["weight"] * x / math.sqrt(float((x * x).mean()) + eps)


def layer_norm(x, w, eps=1e-5):
    centred = x - x.mean()
    return w["weight"] * centred / math.sqrt(float((centred**2).mean()) + eps) + w["bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def under(state, name):
    """The tensors whose names begin so, without that beginning."""
    return {key[len(name) + 1 :]: t for key, t in state.items() if key.startswith(name + ".")}


def linear(x, w, name):
    out = w[f"{name}.weight"] @ x
    return out + w[f"{name}.bias"] if f"{name}.bias" in w else out


def attend(rows, w, score, sees):
    """Attention over normed rows: score(h, t, s, q, k) of what sees(t, s) allows."""
    heads, size, out = 4, 6, []
    q, k, v = ([linear(x, w, f"{n}_proj").view(heads, size) for x in rows] for n in "qkv")
    for t in range(len(rows)):
        read = []
        for h in range(heads):
            keys = [s for s in range(len(rows)) if sees(t, s)]
            scores = torch.stack([score(h, t, s, q[t][h], k[s][h]) for s in keys])
            shares = torch.exp(scores - scores.max())
            shares = shares / shares.sum()
            read.append(sum(share * v[s][h] for share, s in zip(shares, keys, strict=True)))
        out.append(linear(torch.cat(read), w, "o_proj"))
    return out


def feed(x, w, activation):
    """A feed-forward, gated where it has a gate."""
    up = linear(x, w, "up_proj")
    if "gate_proj.weight" in w:
        return linear(activation(linear(x, w, "gate_proj")) * up, w, "down_proj")
    return linear(activation(up), w, "down_proj")


def mixture(x, w, activation):
    """GLaM's experts: the two likeliest, weighted by a softmax over the two."""
    logits = w["router.weight"] @ x
    first, second = torch.argsort(logits, descending=True)[:2].tolist()
    share = 1 / (1 + math.exp(float(logits[second] - logits[first])))
    out = torch.zeros_like(x)
    for expert, weight in ((first, share), (second, 1 - share)):
        out += weight * (w["down_proj"][expert] @ activation(w["up_proj"][expert] @ x))
    return out


def forward(model, ids, *, norm, score, sees, activation, start):
    """Logits of every place; `score` and `sees` know the layer."""
    state = dict(model.state_dict())
    rows = [start(state, state["embed_tokens.weight"][id], t) for t, id in enumerate(ids)]
    for i in range(model.config.layers):
        w = under(state, f"layers.{i}")
        normed = [norm(x, under(w, "attention_norm")) for x in rows]
        found = attend(normed, under(w, "attention"), score(i, state, w), sees(i))
        rows = [x + y for x, y in zip(rows, found, strict=True)]
        normed = [norm(x, under(w, "feedforward_norm")) for x in rows]
        part, one = under(w, "experts"), mixture
        if not part:
            part, one = under(w, "feedforward"), feed
        rows = [x + one(y, part, activation) for x, y in zip(rows, normed, strict=True)]
    return torch.stack([state["embed_tokens.weight"] @ norm(x, under(state, "norm")) for x in rows])


def plain(i, state, w):
    """q·k / sqrt(K)."""
    return lambda h, t, s, q, k: q @ k / math.sqrt(6)


def bucketed(i, state, w):
    """q·k / sqrt(K) and a number for the bucket of the distance, T5's rule for one direction."""
    table = state["relative.weight"]

    def score(h, t, s, q, k):
        apart = t - s
        number = apart
        if apart >= 16:
            number = min(31, 16 + int(math.log(apart / 16) / math.log(128 / 16) * 16))
        return q @ k / math.sqrt(6) + table[number, h]

    return score


def distances(i, state, w):
    """((q + u)·k + (q + v)·R_{t-s}) / sqrt(K), R a map of the distance's sines and cosines."""
    part = under(w, "attention.distance")

    def score(h, t, s, q, k):
        angles = [(t - s) / 10_000 ** (2 * j / 16) for j in range(8)]
        wave = torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)
        mapped = (part["r_proj.weight"] @ wave).view(4, 6)[h]
        content = (q + part["content_bias"][h]) @ k
        return (content + (q + part["distance_bias"][h]) @ mapped) / math.sqrt(6)

    return score


def causal(i):
    return lambda t, s: s <= t


def banded(i):
    """GPT-3: every second layer sees a band, of 32 tokens in the tiny preset."""
    return (lambda t, s: 0 <= t - s < 32) if i % 2 else causal(i)


def as_it_is(state, vector, t):
    return vector


def with_places(state, vector, t):
    return vector + state["embed_positions.weight"][t]


WAYS = {
    "jurassic-1-tiny": (layer_norm, plain, causal, with_places),
    "gpt-3-tiny": (layer_norm, plain, banded, with_places),
    "lamda-tiny": (rms, bucketed, causal, as_it_is),
    "glam-tiny": (rms, bucketed, causal, as_it_is),
    "gopher-tiny": (rms, distances, causal, as_it_is),
    "chinchilla-tiny": (rms, distances, causal, as_it_is),
}


@torch.no_grad()
@pytest.mark.parametrize("name", WAYS)
def test_logits_are_those_of_the_written_out_pass(name):
    model, (norm, score, sees, start) = small(name), WAYS[name]
    ids = torch.randint(29, (LENGTH,))
    expected = forward(
        model, ids.tolist(), norm=norm, score=score, sees=sees, activation=gelu, start=start
    )
    assert_close(model.logits(ids[None])[0], expected, atol=1e-10, rtol=1e-10)
