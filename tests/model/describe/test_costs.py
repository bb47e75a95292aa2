"""What a model costs: the counts are those of the model itself."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from groundup.model import (
    ModelConfig,
    Transformer,
    describe,
    describe_config,
    flops_per_token,
    parameters,
    save,
)
from tests.model.shapes import tiny_config, tiny_model


@pytest.mark.parametrize("config", [tiny_config(), tiny_config(tied=False, qk_norm="none")])
def test_parameters_are_those_of_the_model(config):
    assert parameters(config).total == sum(p.numel() for p in Transformer(config).parameters())


def test_flops_are_those_that_torch_counts():
    config, T = tiny_config(), 32
    model = Transformer(config, seed=0)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, T, dtype=torch.long)).sum().backward()
    # Both halves of the scores are computed in training, so every token counts T.
    assert counter.get_total_flops() == pytest.approx(
        T * flops_per_token(config, T).training, rel=0.1
    )


def test_a_directory_is_described_from_its_config_alone(tmp_path):
    save(tiny_model(dtype=torch.float32), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert describe(tmp_path) == describe_config(tiny_config())


def test_the_table_says_what_a_person_asks_first():
    text = str(describe_config(ModelConfig()))
    assert "5,771,264 (embedding 18%, attention 20%, feedforward 61%" in text
    assert "3,072 bytes a token in bfloat16, 6.0 MiB when full" in text
