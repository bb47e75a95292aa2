"""A model begins with what it is given: vectors, or a base that reads longer rows."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from groundup.compress import quantize_to_int8
from groundup.core import Artifact, ConfigError, produce, record
from groundup.embeddings import Vectors, save_vectors
from groundup.model import PositionConfig, RopeScaling, Transformer, load, save
from groundup.train import PretrainConfig
from groundup.train.pretrain.initialize import (
    _extend_context,
    _load_embedding_vectors,
    initial_model,
)
from tests.model.shapes import tiny_config
from tests.train.small import tiny_training
from tests.train.test_loop import tiny_model


def test_the_embedding_begins_with_vectors_of_ids(tmp_path):
    config = tiny_training(tokens=512)
    body = Transformer(config.model_config_for(300), seed=0)
    drawn, width = body.embed_tokens.weight.detach().clone(), body.config.width
    given = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)

    def vectors(words: list[str], matrix: np.ndarray, name: str) -> Artifact:
        return produce(
            tmp_path / name, kind="vectors", stage="t", version=1, config=config, parents={},
            write=lambda draft: save_vectors(Vectors(words, matrix), draft),
        )  # fmt: skip

    _load_embedding_vectors(body, vectors(["7", "2", "9"], given, "good").path)
    found = body.embed_tokens.weight.detach()
    assert torch.equal(found[3], drawn[3])
    rows = found[[7, 2, 9]]
    centred = torch.from_numpy(given - given.mean(0))
    assert_close(F.cosine_similarity(rows, centred), torch.ones(3))
    assert float(rows.norm(dim=1).mean()) == pytest.approx(0.05 * width**0.5, rel=1e-4)
    with pytest.raises(ConfigError, match="names such as cat"):
        _load_embedding_vectors(body, vectors(["cat"], given[:1], "words").path)
    with pytest.raises(ConfigError, match=f"of width {width}"):
        _load_embedding_vectors(body, vectors(["1"], given[:1, :8], "narrow").path)


def longer(times: int, **changes) -> PretrainConfig:
    return PretrainConfig(context_length=16 * times, objective="causal", **changes)


def test_a_base_at_its_own_length_is_the_same_model(tmp_path):
    model = tiny_model()
    save(model, tmp_path)
    made = initial_model(longer(1), 32, tmp_path, None)
    assert made.config == model.config
    ids = torch.arange(12)[None]
    assert torch.equal(made.logits(ids), model.logits(ids))


@pytest.mark.parametrize("kind", ["base", "yarn", "linear", "keep"])
def test_a_longer_base_opens_again_with_its_stretched_positions(tmp_path, kind):
    save(tiny_model(), tmp_path / "short")
    made = initial_model(longer(4, stretch=kind), 32, tmp_path / "short", None)
    save(made, tmp_path / "long")
    again = load(tmp_path / "long")
    assert again.config == made.config and again.config.context_length == 64
    ids = torch.randint(32, (1, 64), generator=torch.Generator().manual_seed(0))
    assert_close(again.logits(ids), made.logits(ids))


def test_a_higher_base_turns_the_slowest_features_as_far_over_the_new_length():
    own = tiny_model().config
    longer_ = _extend_context(own, longer(4))
    pairs = own.attention.head_dim // 2
    slowest = [c.position.base ** (-(pairs - 1) / pairs) * c.context_length for c in (own, longer_)]
    assert slowest[1] == pytest.approx(slowest[0])
    assert longer_.position.scaling == RopeScaling()


def test_what_cannot_be_longer_is_refused(tmp_path):
    learned = tiny_config().model_copy(update={"position": PositionConfig(kind="learned")})
    with pytest.raises(ConfigError, match="learned embeddings of"):
        _extend_context(learned, longer(8))
    own = tiny_model().config
    twice = _extend_context(own, longer(2, stretch="yarn"))
    with pytest.raises(ConfigError, match="already extended by 'yarn'; use rope_extension=base"):
        _extend_context(twice, longer(4, stretch="linear"))


def test_a_quantised_base_goes_on_from_what_its_integers_stand_for(tmp_path, capsys):
    model = tiny_model()
    quantize_to_int8(model)
    save(model, tmp_path)
    ids = torch.arange(1, 13)[None]
    record.set_output_mode("plain")
    made = initial_model(longer(1), 32, tmp_path, None)
    assert "is quantized: training starts from its dequantized weights" in capsys.readouterr().err
    assert all(weight.dtype == torch.float32 for weight in made.parameters())
    assert sum(p.numel() for p in made.parameters()) == sum(
        p.numel() for p in tiny_model().parameters()
    )
    assert_close(made.logits(ids), load(tmp_path, dtype=torch.float32).logits(ids))
    made.logits(ids).sum().backward()
    assert all(weight.grad is not None for weight in made.parameters())
    save(made, tmp_path / "again", tmp_path)
    assert_close(load(tmp_path / "again").logits(ids), made.logits(ids))
