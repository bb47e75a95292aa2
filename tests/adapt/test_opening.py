"""An adapter's directory opens as a model: with its base, from where its files say that it is."""

import pytest
import torch
from torch.testing import assert_close

from groundup.adapt import (
    attach_adapter,
    base_of,
    load_adapted,
    save_adapter,
)
from groundup.core import ArtifactError, Message, Sampling
from groundup.generate import Engine
from groundup.model import has_adapters, load
from tests.adapt.models import KINDS, shake_adapter
from tests.serve.servers import write_chat_model

ASKED = (Message("user", "Is the tea hot?"),)


@pytest.fixture
def base(tmp_path):
    return write_chat_model(tmp_path / "base", 128)


def adapted(base, path, kind, named=None):
    """A random adapter of a base in a directory, and the model that has it."""
    model = load(base)
    attach_adapter(model, KINDS[kind], "own")
    save_adapter(shake_adapter(model), "own", path, base=str(base) if named is None else named)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_opens_with_its_base(base, tmp_path, kind):
    expected = adapted(base, tmp_path / "tuned", kind)
    assert base_of(tmp_path / "tuned") == base.resolve() and base_of(base) == base
    model = load_adapted(tmp_path / "tuned").eval()
    assert has_adapters(model) == (kind != "lora"), "LoRA is merged, the others stay"
    ids = torch.arange(12)[None]
    assert_close(model.logits(ids), expected.logits(ids), rtol=1e-4, atol=1e-4)
    [said] = Engine.open(tmp_path / "tuned").generate([ASKED], Sampling(max_tokens=8))
    [plain] = Engine.open(base).generate([ASKED], Sampling(max_tokens=8))
    assert said.ids != plain.ids, "a strong random adapter says something else"


def test_the_adapter_s_own_ends_and_template_come_first(base, tmp_path):
    adapted(base, tmp_path / "tuned", "lora")
    assert Engine.open(tmp_path / "tuned").end_ids == Engine.open(base).end_ids
    (tmp_path / "tuned" / "generation_config.json").write_text('{"eos_token_id": [5]}')
    assert 5 in Engine.open(tmp_path / "tuned").end_ids
    assert 5 not in Engine.open(base).end_ids


@pytest.mark.parametrize("named, told", [("", "an unnamed model"), ("acme/base", "acme/base")])
def test_a_base_that_is_not_there_is_named(base, tmp_path, named, told):
    adapted(base, tmp_path / "tuned", "lora", named)
    with pytest.raises(ArtifactError, match=f"an adapter of {told}, which is not there"):
        Engine.open(tmp_path / "tuned")
