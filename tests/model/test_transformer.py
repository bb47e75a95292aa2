"""The model: documents in one row do not meet, and a new model knows nothing."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from groundup.core import device
from groundup.kernels import cross_entropy
from groundup.model import (
    AttentionConfig,
    ModelConfig,
    PositionConfig,
    Transformer,
    from_depth,
    positions,
)
from groundup.model.positions import compute_rotation, rope_frequencies
from tests.model.shapes import ALL, VOCAB, tiny_config, tiny_model


@torch.no_grad()
def test_packed_documents_compute_what_they_would_alone():
    model = tiny_model()
    one, two = torch.randint(VOCAB, (1, 5)), torch.randint(VOCAB, (1, 8))
    documents = torch.tensor([[0] * 5 + [1] * 8])
    packed = model.logits(torch.cat([one, two], 1), documents=documents)
    alone = torch.cat([model.logits(one), model.logits(two)], 1)
    assert_close(packed, alone, atol=1e-12, rtol=0)


@torch.no_grad()
def test_changing_one_document_leaves_the_next_one_as_it_was():
    model, ids = tiny_model(), torch.randint(VOCAB, (1, 12))
    documents = torch.tensor([[0] * 6 + [1] * 6])
    before = model.logits(ids, documents=documents)
    ids[0, 2] = (ids[0, 2] + 1) % VOCAB
    after = model.logits(ids, documents=documents)
    assert torch.equal(before[:, 6:], after[:, 6:])
    assert not torch.allclose(before[:, 2:6], after[:, 2:6])


def test_packed_and_unpacked_documents_have_the_same_gradients():
    lengths = [5, 9, 2]
    rows = [torch.randint(VOCAB, (1, n)) for n in lengths]
    numbers = torch.cat([torch.full((1, n), i) for i, n in enumerate(lengths)], 1)

    def gradients(calls):
        model = tiny_model_of_seed()
        for ids, documents in calls:
            hidden = model(ids, documents=documents)[0]
            cross_entropy(hidden, model.head, ids[0], torch.ones_like(hidden[:, 0])).backward()
        return {name: p.grad for name, p in model.named_parameters()}

    packed = gradients([(torch.cat(rows, 1), numbers)])
    for name, gradient in gradients([(row, None) for row in rows]).items():
        assert_close(packed[name], gradient, atol=1e-11, rtol=1e-9)


def tiny_model_of_seed():
    torch.manual_seed(5)
    return tiny_model().train()


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_model_is_almost_indifferent_to_the_next_token(tied):
    config = from_depth(2, 512).config.model_copy(update={"tied_embeddings": tied})
    model, ids = Transformer(config), torch.randint(512, (4, 65))
    with torch.no_grad():
        logits = model.logits(ids[:, :-1]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(512), abs=0.3)


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    one = Transformer(tiny_config(), seed=4).state_dict()
    torch.manual_seed(2)
    two = Transformer(tiny_config(), seed=4).state_dict()
    other = Transformer(tiny_config(), seed=5).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embed_tokens.weight"], other["embed_tokens.weight"])


def test_what_enters_the_residual_starts_at_zero():
    for name, weight in Transformer(tiny_config(), seed=0).named_parameters():
        assert weight.any() != name.endswith(("o_proj.weight", "down_proj.weight")), name


def test_a_model_learns_a_sentence():
    model = Transformer(tiny_config()).train()
    ids = torch.randint(VOCAB, (1, 33))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        hidden = model(ids[:, :-1])[0]
        loss = cross_entropy(hidden, model.head, ids[0, 1:], torch.ones(32)) / 32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_tied_embeddings_are_one_tensor():
    model = tiny_model(tiny_config(tied=True))
    assert model.head is model.embed_tokens.weight
    assert "lm_head.weight" in tiny_model(tiny_config(tied=False)).state_dict()


def test_without_a_compiler_nothing_is_compiled_and_the_model_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    model = tiny_model()
    assert model.compile_blocks() is False
    assert model.is_compiled is False


COMPILED = """
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close
from groundup.core import device
from groundup.kernels import cross_entropy
from tests.model.shapes import VOCAB, tiny_config, tiny_model

ids, documents = torch.randint(VOCAB, (2, 16)), torch.tensor([[0] * 7 + [1] * 9, [0] * 16])
model = tiny_model(tiny_config(layers=4), torch.float32).train()

def gradients():
    model.zero_grad()
    hidden = model(ids, documents=documents).flatten(0, 1)
    loss = cross_entropy(hidden, model.head, ids.flatten(), torch.ones(32))
    loss.backward()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters()}

loss, plain = gradients()
assert model.compile_blocks()
compiled_loss, compiled = gradients()
assert_close(compiled_loss, loss)
for name, gradient in plain.items():
    assert_close(compiled[name], gradient, atol=1e-4, rtol=1e-4)
print("graphs:", counters["stats"]["unique_graphs"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not device.compiler(), reason="needs a C++ compiler")
def test_compiled_blocks_have_the_same_loss_and_gradients_and_are_compiled_once():
    # In a process of its own, as users have it: checks of shapes at every call would break graphs.
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", COMPILED], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert "graphs: 1" in run.stdout


@torch.no_grad()
@pytest.mark.parametrize("scale", [None, 1.0, 0.25])
def test_new_scores_have_unit_size_whatever_scales_them(scale):
    attention = AttentionConfig(heads=4, kv_heads=4, head_dim=16, qk_norm="none", scale=scale)
    config = ModelConfig(vocab_size=50, width=64, layers=1, attention=attention)
    part = Transformer(config, seed=2).layers[0].attention
    hidden = torch.randn(1, 400, 64, generator=torch.Generator().manual_seed(0))
    scores = part.queries(hidden) @ part.keys_values(hidden).keys.mT * part.scale
    assert 0.85 < float(scores.std()) < 1.15


@torch.no_grad()
@pytest.mark.parametrize("name, made", [("grouped", 1), ("gemma3", 2)])
def test_angles_are_made_once_a_pass_and_for_windows_only_with_a_base_of_their_own(
    monkeypatch, name, made
):
    model, calls = tiny_model(ALL[name], torch.float32), []
    monkeypatch.setattr(
        positions,
        "compute_rotation",
        lambda *given: calls.append(given) or compute_rotation(*given),
    )
    model(torch.randint(VOCAB, (1, 5)))
    assert len(calls) == made
    model(torch.randint(VOCAB, (1, 5)))
    first, second = ([turns for _, turns, _ in part] for part in (calls[:made], calls[made:]))
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert not any("frequenc" in key for key in model.state_dict())


def test_frequencies_first_made_without_gradients_serve_training_and_half_precision_keeps_them():
    config = tiny_config().model_copy(update={"position": PositionConfig(base=12_345.0)})
    with torch.inference_mode():
        Transformer(config).bfloat16()(torch.zeros(1, 3, dtype=torch.long))
    model = Transformer(config)
    model(torch.zeros(1, 3, dtype=torch.long)).sum().backward()
    kept = positions.cached_frequencies(
        6, 12_345.0, config.position.scaling, 64, torch.float32, torch.device("cpu")
    )
    assert torch.equal(kept, rope_frequencies(6, 12_345.0)) and not kept.is_inference()


def gradients_of(config: ModelConfig, kind: str, compiled: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = tiny_model(config, torch.float32).train()
    model.recompute_blocks(kind)
    if compiled:
        assert model.compile_blocks()
    ids, noted = torch.randint(VOCAB, (2, 24)), []
    encoded = model.encode(ids) if config.kind == "encoder_decoder" else None
    hidden = model(ids, encoded=encoded, routing=noted)
    total = hidden.square().mean() + sum(logits.square().mean() for logits in noted)
    total.backward()
    assert len(noted) == sum(config.has_experts(i) for i in range(config.layers))
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_the_same_to_the_bit_however_much_is_computed_again(name: str):
    plain = gradients_of(ALL[name], "none")
    for kind in ("selective", "all"):
        again = gradients_of(ALL[name], kind)
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(not device.compiler(), reason="needs a C++ compiler")
def test_compiled_blocks_compute_again_with_the_same_gradients():
    plain = gradients_of(tiny_config(), "none", compiled=True)
    for kind in ("selective", "all"):
        again = gradients_of(tiny_config(), kind, compiled=True)
        for a, b in zip(plain, again, strict=True):
            assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_dropout_leaves_out_of_vectors_and_of_what_blocks_add_in_training_alone():
    model, ids = tiny_model(), torch.randint(VOCAB, (2, 9))
    model.eval()
    expected = model(ids)
    model.set_dropout(0.3)
    assert torch.equal(model(ids), expected)
    model.train()
    torch.manual_seed(3)
    found = model(ids)
    torch.manual_seed(3)
    hidden = torch.nn.functional.dropout(model.embed(ids), 0.3)
    places = {}

    def place(_, inputs, __):
        places["context"] = inputs[1]

    hook = model.layers[0].register_forward_hook(place)
    with torch.random.fork_rng():
        model(ids)
    hook.remove()
    for block in model.layers:
        added = block.attention(block.attention_norm(hidden), places["context"])
        hidden = hidden + torch.nn.functional.dropout(added, 0.3)
        added = block.feedforward(block.feedforward_norm(hidden))
        hidden = hidden + torch.nn.functional.dropout(added, 0.3)
    assert_close(found, model.norm(hidden), atol=1e-12, rtol=0)
    assert not torch.allclose(found, expected)
