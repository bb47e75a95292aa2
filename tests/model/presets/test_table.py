"""Presets: as many parameters as their papers print, and tiny ones that have every trait."""

import re

import pytest
import torch

from groundup.core import ConfigError
from groundup.model import Cache, Transformer, active_parameters, count_parameters, preset, presets
from groundup.model.presets.table import TINY_SUFFIX

SCALE = {"M": 1e6, "B": 1e9, "T": 1e12}
# Papers whose number does not fit their shape, as `differs` says.
WRONG = {"gpt-2", "gpt-2-medium", "gpt-2-large", "gpt-2-xl", "t5-large"}
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
