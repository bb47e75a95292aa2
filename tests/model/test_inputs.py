"""What a pass is given: what does not fit is told with both shapes, before anything is computed."""

import pytest
import torch

from groundup.core import ConfigError, ShapeError
from groundup.model import Cache, Transformer
from tests.checking import unchecked
from tests.model.shapes import ALL, VOCAB, shape, tiny_config, tiny_model

IDS = torch.zeros(2, 5, dtype=torch.long)


@pytest.fixture(autouse=True)
def as_a_user():
    with unchecked():
        yield


def whole(*size):
    return torch.zeros(*size, dtype=torch.long)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"documents": whole(2, 4)}, r"documents.*\(2, 4\).*ids' shape \(2, 5\)"),
        ({"documents": whole(2, 6)}, r"\(2, 6\).*\(2, 5\)"),
        ({"documents": whole(3, 5)}, r"\(3, 5\).*\(2, 5\)"),
        ({"documents": whole(1, 5)}, r"\(1, 5\).*\(2, 5\)"),
        ({"documents": whole(5)}, r"\(5,\).*\(2, 5\)"),
        ({"documents": torch.ones(2, 5, dtype=torch.bool)}, r"bool.*mask.long\(\) - 1"),
        ({"documents": torch.ones(2, 5)}, r"float32.*mask.long\(\) - 1"),
        ({"positions": whole(2, 4)}, r"positions.*\(2, 4\).*\(2, 5\)"),
        ({"positions": whole(5)}, r"\(5,\).*\(2, 5\)"),
        ({"positions": torch.zeros(2, 5)}, "float32"),
        ({"prefix": torch.ones(2, 1, dtype=torch.bool)}, r"prefix.*\(2, 1\).*\(2, 5\)"),
        ({"prefix": whole(2, 5)}, "prefix.*int64"),
    ],
)
def test_what_does_not_fit_the_ids_is_told_with_both_shapes(given, message):
    with pytest.raises(ShapeError, match=message):
        tiny_model()(IDS, **given)


@pytest.mark.parametrize("ids", [torch.zeros(1, 3), whole(3), torch.zeros(1, 3).bool()])
def test_ids_are_rows_of_whole_numbers(ids):
    with pytest.raises(ShapeError, match=r"expected integers \(B, T\)"):
        tiny_model()(ids)


@pytest.mark.parametrize("wrong", [VOCAB, -1])
def test_an_id_outside_the_vocabulary_is_named(wrong):
    with pytest.raises(
        ShapeError, match=f"Id {wrong} is out of range; the model has 0 to {VOCAB - 1}"
    ):
        tiny_model()(torch.tensor([[3, wrong]]))


@pytest.mark.parametrize("name, offset", [("gpt2", 0), ("bart", 2)])
def test_a_place_outside_a_learned_table_is_named(name, offset):
    model = Transformer(ALL[name])
    assert model.config.position.offset == offset
    source = model.encode(IDS) if model.encoder is not None else None
    model(IDS, positions=torch.full((1, 5), 63), encoded=source)
    with pytest.raises(ShapeError, match="Position 64 is out of range; the model has 0 to 63"):
        model(IDS, positions=torch.full((1, 5), 64), encoded=source)


def test_segments_need_a_table_that_has_them():
    with pytest.raises(ConfigError, match="types=0"):
        tiny_model()(IDS, types=whole(2, 5))
    model = tiny_model(ALL["bert"])
    with pytest.raises(ShapeError, match="Type 2 is out of range; the model has 0 to 1"):
        model(IDS, types=whole(2, 5) + 2)
    with pytest.raises(ShapeError, match=r"types.*\(2, 4\)"):
        model(IDS, types=whole(2, 4))
    with pytest.raises(ConfigError, match="omit prefix"):
        model(IDS, prefix=IDS == 0)


@torch.no_grad()
def test_a_prefix_goes_with_the_first_call_of_a_cache_alone():
    model, prefix = tiny_model(), torch.tensor([[True] * 3 + [False] * 2] * 2)
    cache = Cache(model.config, 2, 8, torch.float64)
    assert torch.equal(model(IDS, prefix=prefix, cache=cache), model(IDS, prefix=prefix))
    with pytest.raises(ConfigError, match="cache of 5 tokens"):
        model(IDS[:, :1], prefix=prefix[:, :1], cache=cache)


def test_a_cache_is_of_the_batch_and_the_model():
    model = tiny_model()
    with pytest.raises(ShapeError, match=r"\(2, 3, 2, 6\).*need \(2, 2, 2, 6\)"):
        model(IDS, cache=Cache(model.config, 3, 8))
    with pytest.raises(ShapeError, match=r"\(3, 2, 4, 4\).*need \(2, 2, 2, 6\)"):
        model(IDS, cache=Cache(shape(), 2, 8))
    with pytest.raises(ShapeError, match=r"\(4, 2, 2, 6\)"):
        model(IDS, cache=Cache(tiny_config(layers=4), 2, 8))


def test_a_source_is_of_the_batch_and_its_documents_are_its_own():
    model = tiny_model(ALL["t5"])
    with pytest.raises(ShapeError, match=r"documents.*\(2, 4\).*\(2, 5\)"):
        model.encode(IDS, documents=whole(2, 4))
    source = model.encode(IDS)
    with pytest.raises(ShapeError, match=r"\(2, 5, 16\) and .* floats \(1, S, 16\)"):
        model(IDS[:1], encoded=source)
    with pytest.raises(ShapeError, match=r"\(2, 4\) and torch.int64, the source \(2, 5\)"):
        model(IDS, encoded=source._replace(documents=whole(2, 4)))
    with pytest.raises(ShapeError, match="floats"):
        model(IDS, encoded=source._replace(hidden=source.hidden.long()))
