"""Routes: every token has its experts, and the page shows the text as it is."""

import os

import pytest
import torch

from groundup.core import ConfigError
from groundup.model import routing, save
from groundup.model.describe.routing import LayerRouting, _route_text, _routing_page
from groundup.tokenizer import FastTokenizer, save_tokenizer, train_bpe
from tests.model.shapes import ALL, shape, tiny_model

TEXT = "The router chose <b> & the router chose again.\n" * 4


def test_shares_are_those_of_the_choices_and_sum_to_one():
    model = tiny_model(ALL["glam"])
    found = _route_text(model, torch.randint(29, (1, 20)))
    assert [each.layer for each in found] == [1, 3]
    for each in found:
        assert each.experts.shape == (20, 2)
        assert float(each.shares.sum()) == pytest.approx(1)
        for expert in range(4):
            assert float(each.shares[expert]) == pytest.approx(
                (each.experts == expert).sum().item() / 40
            )


def test_balance_is_one_for_equal_work_and_zero_for_one_expert():
    no = torch.zeros(1, 1).long()
    assert LayerRouting(0, no, torch.full((8,), 1 / 8)).balance == 1
    assert LayerRouting(0, no, torch.tensor([1.0, 0, 0])).balance == 0


def test_the_verb_writes_a_page_with_the_text(tmp_path):
    tokenizer = FastTokenizer(train_bpe([TEXT], vocab_size=270))
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    mixtral = ALL["mixtral"].model_copy(update={"vocab_size": tokenizer.vocab_size})
    save(tiny_model(mixtral, torch.float32), tmp_path / "model", tmp_path / "tokenizer")
    (tmp_path / "text.txt").write_text(TEXT)
    found = routing(tmp_path / "model", tmp_path / "text.txt", tmp_path / "page.html")
    assert found.layers == (0, 1, 2)
    html = found.page.read_text()
    assert "&lt;" in html and "<b>" not in html
    assert html.count('class="routed"') == 3
    assert str(found).startswith("layer   0")
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(ConfigError, match="no token to route"):
        routing(tmp_path / "model", tmp_path / "text.txt", tmp_path / "page.html")


def test_the_least_even_layer_is_named():
    found = [LayerRouting(3, torch.zeros(2, 1).long(), torch.tensor([1.0, 0.0])),
             LayerRouting(1, torch.tensor([[0], [1]]), torch.tensor([0.5, 0.5]))]  # fmt: skip
    assert "layer 3 is the least balanced" in _routing_page(found, ["a", "b"], "m").render()
    assert shape().feedforward.experts is None


@pytest.mark.parametrize(
    ("name", "said"),
    [("gpt2", "This decoder is dense"), ("t5", "encoder_decoder is dense"),
     ("switch", "Routing is shown for decoders")],
)  # fmt: skip
def test_what_has_no_routes_to_show_says_which_it_is(name, said):
    with pytest.raises(ConfigError, match=said):
        _route_text(tiny_model(ALL[name]), torch.zeros(1, 4, dtype=torch.long))


def test_a_text_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent.txt is not a readable plain-text file"):
        routing(tmp_path, tmp_path / "absent.txt", tmp_path / "page.html")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        ConfigError, match="pipe is not a readable plain-text file .*no regular file"
    ):
        routing(tmp_path, tmp_path / "pipe", tmp_path / "page.html")
