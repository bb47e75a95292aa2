"""Presets: shapes as published, sizes as the papers print them, tiny ones that run."""

import json
import math
import re
from pathlib import Path

import pytest
import torch

from groundup.core import ConfigError
from groundup.model import (
    Cache,
    ModelConfig,
    Transformer,
    active_parameters,
    count_parameters,
    preset,
    presets,
)
from groundup.model.presets import TINY_SUFFIX

COUNTS = json.loads(Path(__file__).with_name("parameters.json").read_text())


def test_every_preset_has_the_parameters_that_it_had():
    assert {name: count_parameters(each.config).total for name, each in presets().items()} == COUNTS


@pytest.mark.parametrize("each", presets().values(), ids=lambda each: each.name)
def test_every_preset_is_valid_and_has_a_source_with_a_year(each):
    assert ModelConfig(**each.config.model_dump()) == each.config
    assert re.search(r"\b(19|20)\d\d\b", each.source)
    assert each.special and not each.special.endswith(".")
    assert not each.differs or each.differs.endswith(".")
    assert re.fullmatch(r"[a-z][a-z0-9.-]*", each.name)


@pytest.mark.parametrize("each", presets().values(), ids=lambda each: each.name)
def test_scales_are_roots_of_the_width(each):
    root = math.sqrt(each.config.width)
    own = ("Granite 3", "Granite 3 MoE", "Command R", "MiniCPM 3")
    if each.family not in own:  # whose factors are numbers of their own
        is_scaled = "Gemma" in each.family or each.family == "mBART"
        assert each.config.embedding.scale == (root if is_scaled else 1)
        assert each.config.output.scale == (1 / root if each.family in ("T5", "Switch") else 1)


@pytest.mark.parametrize(
    "name, weights",
    [("gpt-2", 124_439_808), ("gpt-2-xl", 1_557_611_200), ("gpt-1", 116_534_784),
     ("llama-7b", 6_738_415_616), ("llama-13b", 13_015_864_320), ("llama-33b", 32_528_943_616),
     ("llama-65b", 65_285_660_672), ("llama-3-8b", 8_030_261_248), ("llama-3.2-1b", 1_235_814_400),
     ("mistral-7b", 7_241_732_096), ("mixtral-8x7b", 46_702_792_704), ("qwen-2-0.5b", 494_032_768),
     ("qwen-3-0.6b", 596_049_920), ("gemma-3-1b", 999_885_952), ("olmo-2-1b", 1_484_916_736),
     ("t5-small", 60_506_624), ("t5-base", 222_903_552), ("t5-large", 737_668_096),
     ("bart-base", 139_420_416), ("bart-large", 406_291_456), ("gpt-j-6b", 6_050_882_784),
     ("falcon-7b", 6_921_720_704), ("bloom-560m", 559_214_592), ("opt-125m", 125_239_296),
     ("mt5-small", 300_176_768), ("mbart-large", 610_851_840)],
)  # fmt: skip
def test_parameters_are_those_of_the_published_file(name, weights):
    config = preset(name).config
    count = count_parameters(config)
    bias = config.vocab_size if "bart" in name else 0  # a buffer in BART's file, not a weight
    assert count.total - bias == weights


def test_bert_base_has_the_weights_of_its_published_file():
    count = count_parameters(preset("bert-base").config)
    # Of 109,482,240 in the file without heads, the pooler has 590,592; the masked head adds
    # a dense layer, a norm and a bias for each id.
    assert count.total - count.head == 109_482_240 - 590_592
    assert count.head == 768 * 768 + 768 + 2 * 768 + 30_522


def test_gopher_and_chinchilla_only_add_up_with_the_maps_of_distances():
    for name, printed in (("gopher-280b", 280e9), ("chinchilla-70b", 70e9)):
        count = count_parameters(preset(name).config)
        assert count.total == pytest.approx(printed, rel=0.002)
        assert count.total - count.positions < 0.93 * printed


def test_roberta_has_two_unused_position_embeddings_and_one_type():
    config = preset("roberta-base").config
    assert count_parameters(config).positions == 514 * 768
    assert config.embedding.types == 1


def test_modernbert_sees_64_tokens_to_each_side_in_two_of_three_layers():
    windows = [preset("modernbert-base").config.pattern(i).window for i in range(6)]
    assert windows == [0, 65, 65, 0, 65, 65]


def test_gemma_sees_everything_in_every_sixth_layer():
    kinds = [preset("gemma-3-1b").config.pattern(i).kind for i in range(12)]
    assert kinds == (["window"] * 5 + ["full"]) * 2


def test_bert_says_that_its_own_objective_omits_the_next_sentence():
    for name in ("bert-base", "bert-tiny"):
        assert preset(name).objective == "masked"
        assert "objective=next_sentence trains both" in preset(name).shared


def test_experts_use_few_of_the_parameters():
    assert active_parameters(preset("mixtral-8x7b").config) == pytest.approx(12.9e9, rel=0.01)
    dense = count_parameters(preset("t5-base").config).total
    routers = 12 * 768 * 128
    assert active_parameters(preset("switch-base-128").config) == dense + routers


def test_presets_with_a_capacity_say_where_it_acts():
    for name in ("switch-c", "switch-tiny", "glam-27b"):
        assert "applies in training only" in preset(name).shared


def test_tiny_presets_stretch_their_angles_up_to_their_own_context():
    config = preset("llama-3-tiny").config
    scaling = config.position.scaling
    assert scaling.kind == "llama3"
    assert scaling.factor * scaling.original_length == config.context_length
    assert preset("gemma-3-tiny").config.position.scaling.kind == "linear"


SCALE = {"M": 1e6, "B": 1e9, "T": 1e12}
# Papers whose number does not fit their shape, as `differs` says.
WRONG = {"gpt-2", "gpt-2-medium", "gpt-2-large", "gpt-2-xl", "t5-large", "albert-large",
         "albert-xlarge", "albert-xxlarge"}  # fmt: skip
PUBLISHED = [each for each in presets().values() if not each.name.endswith(TINY_SUFFIX)]
SMALL = [each for each in presets().values() if each.name.endswith(TINY_SUFFIX)]
NAMED = (
    "bert-base gpt-1 roberta-base spanbert-base gpt-2 t5-base gpt-3-175b gopher-280b "
    "jurassic-1-178b chinchilla-70b lamda-137b llama-7b mixtral-8x7b switch-base-8 glam-1.2t "
    "llama-3-8b mistral-7b qwen-2-7b qwen-3-0.6b gemma-3-270m olmo-2-1b bart-base modernbert-base"
).split()


@pytest.mark.parametrize("each", PUBLISHED, ids=lambda each: each.name)
def test_parameters_are_those_that_the_paper_prints(each):
    if not each.paper:
        assert each.differs, "a preset without a number says why"
        return
    number, scale = re.fullmatch(r"([\d.]+)([MBT])", each.paper).groups()
    printed = float(number) * SCALE[scale]
    step = 10 ** -len(number.partition(".")[2]) * SCALE[scale]
    count = count_parameters(each.config)
    total = count.total - (count.embedding + count.positions if each.family == "LaMDA" else 0)
    if each.family in ("Gemma 3", "SpanBERT") or each.name in WRONG | {"glam-1.9b"}:
        assert each.differs
        return
    # A printed number is rounded, or cut, at its last digit; some are coarser by a few percent.
    assert total == pytest.approx(printed, abs=step, rel=0.05), each.name


def test_counts_that_papers_print_to_the_last_digit():
    assert active_parameters(preset("glam-1.2t").config) / 1e9 == pytest.approx(96.6, abs=0.05)
    assert count_parameters(preset("gemma-3-270m").config).total == 268_098_176
    four = count_parameters(preset("gemma-3-4b").config)
    assert (four.embedding // 10**6, (four.total - four.embedding) // 10**6) == (671, 3209)
    assert count_parameters(preset("switch-c").config).total / 1e9 == pytest.approx(1571, abs=0.5)


def test_the_names_that_people_type_are_there():
    assert not [name for name in NAMED if name not in presets()]
    assert {each.family for each in SMALL} == {each.family for each in PUBLISHED}


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="no preset 'chinchila-70'.*chinchilla-70b"):
        preset("chinchila-70")
    with pytest.raises(ConfigError, match="no preset 'zzzz'; the nearest are") as told:
        preset("zzzz")
    assert len(str(told.value)) < 120  # not all two hundred


@pytest.mark.parametrize("each", SMALL, ids=lambda each: each.name)
def test_a_tiny_one_has_every_trait_and_computes(each):
    family = [other.config for other in PUBLISHED if other.family == each.family]
    large = family[0]
    same = ("kind", "tied_embeddings", "parallel", "norm")
    assert [getattr(each.config, name) for name in same] == [getattr(large, name) for name in same]
    assert each.config.position.kind == large.position.kind
    scalings = {other.position.scaling.kind for other in family}
    assert each.config.position.scaling.kind == max(scalings, key=lambda kind: kind != "none")
    assert len(each.config.attention.patterns) == len(large.attention.patterns)
    assert (each.config.feedforward.experts is None) == (large.feedforward.experts is None)
    model = Transformer(each.config, seed=0).eval()
    assert sum(p.numel() for p in model.parameters()) == count_parameters(each.config).total < 5e6
    ids = torch.randint(4096, (1, 40))
    read = {"encoded": model.encode(ids)} if model.encoder is not None else {}
    with torch.no_grad():
        logits = model.logits(ids, **read)
    assert torch.isfinite(logits).all()
    if each.config.kind != "encoder":
        cached = model.logits(ids, cache=Cache(each.config, 1, 40), **read)
        torch.testing.assert_close(cached, logits, atol=1e-4, rtol=1e-4)
