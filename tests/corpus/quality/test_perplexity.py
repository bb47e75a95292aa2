"""The step measures, sorts into buckets, and drops by policy alone."""

import pytest

from groundup.core import ConfigError, DataError, hash_file
from groundup.corpus.quality.counting import train_ngrams
from groundup.corpus.quality.perplexity import PerplexityConfig, PerplexityStep, cuts
from groundup.documents import Record

GOOD = "The file is written to the disk when the window is closed by the user."
BAD = "qzx vvk <<>> jjq 88 pwz && xkcd zzz qqq"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train_ngrams([GOOD, GOOD.replace("file", "page"), GOOD.replace("disk", "server")]).save(folder)
    return folder


def rule(text: str, config: PerplexityConfig):
    return PerplexityStep(config)(Record("1", "s", "p", "text", text))


def test_it_only_measures_unless_asked(model):
    good, bad = (rule(text, PerplexityConfig(model=model)) for text in (GOOD, BAD))
    assert not good.reason and not bad.reason
    assert good.metadata["bits_per_character"] < 1 < bad.metadata["bits_per_character"]


def test_buckets_and_limits(model):
    config = PerplexityConfig(model=model, cuts=(0.5, 1.5))
    assert rule(GOOD, config).metadata["perplexity_bucket"] == "head"
    assert rule(BAD, config).metadata["perplexity_bucket"] == "tail"
    dropping = PerplexityConfig(model=model, cuts=(0.5, 1.5), drop=("tail",))
    assert rule(BAD, dropping).reason == "perplexity: tail"
    assert rule(BAD, PerplexityConfig(model=model, most_bits=2)).reason.endswith("too surprising")
    assert rule(GOOD, PerplexityConfig(model=model, least_bits=2)).reason.endswith("predictable")
    assert rule(" \n", PerplexityConfig(model=model)).reason == "perplexity: no words"


def test_cuts_are_quantiles_of_what_has_words(model):
    step = PerplexityStep(PerplexityConfig(model=model))
    low, high = cuts(step.model, [GOOD, "", BAD, GOOD + " " + BAD])
    assert 0 < low < high
    with pytest.raises(DataError, match="sample"):
        cuts(step.model, ["", " "])


def test_settings_that_cannot_work(model):
    for values, said in (
        ({"drop": ("tail",)}, "needs `cuts`"),
        ({"drop": ("worst",)}, "no buckets"),
        ({"cuts": (2.0, 1.0)}, "must rise"),
        ({"sha256": "00"}, "not the model"),
    ):
        with pytest.raises(ConfigError, match=said):
            PerplexityStep(PerplexityConfig(model=model, **values))
    right = hash_file(model / "ngrams.safetensors")
    PerplexityStep(PerplexityConfig(model=model, sha256=right))
