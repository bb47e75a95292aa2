"""Fine-tuning an adapter: only it learns and is saved, a stopped run ends alike, and it merges."""

import json

import pytest
import torch

from groundup.adapt import MergeConfig, load_adapter, merge
from groundup.align import ExamplesConfig, FinetuneConfig, finetune, make_examples
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, ConfigError, load_config, record
from groundup.generate import Engine
from groundup.model import load
from groundup.train import pretrain
from tests.align.test_finetune import stop_after_first_checkpoint
from tests.train.small import small, tiny_training, without_compiler

TUNING = FinetuneConfig(
    epochs=2, max_length=512, batch_rows=4, checkpoints={"every_seconds": 0.0},
    adapter={"kind": "lora", "rank": 4},
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Artifact:
    made = small(tmp_path_factory.mktemp("small"))
    config = tiny_training(tokens=1024, context_length=512)
    return pretrain(config, made.tokens, made.tokenizer, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Artifact:
    made = small(tmp_path_factory.mktemp("corpus"))
    config = ExamplesConfig(explain=40, docstring=0, write=0, topic=0, held_out=8, names=0)
    return make_examples(config, made.corpus, tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def tuned(base, examples, tmp_path_factory) -> Artifact:
    return finetune(TUNING, base, examples, tmp_path_factory.mktemp("tuned"))


def losses(artifact: Artifact) -> list[float]:
    rows = record.read_metrics(artifact.path / "log" / "metrics.jsonl")
    return [row["loss"] for row in rows if "loss" in row]


def test_the_adapter_alone_is_trained_and_saved(base, tuned):
    assert tuned.kind == "adapter" and [parent.name for parent in tuned.parents][0] == "model"
    weights = sum(p.numel() for p in load(base.path).parameters())
    assert tuned.numbers["parameters"] < 0.2 * weights
    assert tuned.numbers["adapter_bytes"] == 4 * tuned.numbers["parameters"]
    assert "model.safetensors" not in tuned.files and losses(tuned)[-1] < losses(tuned)[0]


def test_a_stopped_run_resumes_to_the_same_bits(base, examples, tuned, tmp_path):
    stop_after_first_checkpoint(base, examples, tmp_path / "out", TUNING)
    (checkpoint,) = list((tmp_path / "out").glob(".scratch/step-*"))[:1]
    stored = sum(file.stat().st_size for file in checkpoint.iterdir())
    assert stored < base.files["model.safetensors"]["bytes"]  # with states a base has three times
    assert finetune(TUNING, base, examples, tmp_path / "out").id == tuned.id


def test_merging_gives_a_chat_model(base, tuned, tmp_path):
    merged = merge(MergeConfig(), base, tuned.path, tmp_path / "merged")
    model, ids = load(base.path), torch.arange(20)[None]
    load_adapter(model, tuned.path, base=base.path)
    torch.testing.assert_close(load(merged.path).logits(ids), model.logits(ids), rtol=0, atol=1e-4)
    engine = Engine.open(merged.path)
    ends = json.loads(merged.file("generation_config.json").read_text())["eos_token_id"]
    assert engine.tokenizer.specials["<|im_end|>"] == ends[0]


@pytest.mark.parametrize("kind", ["prefix", "bottleneck"])
def test_other_kinds_are_trained_too(kind, base, examples, tmp_path):
    config = FinetuneConfig(**TUNING.model_dump(exclude_unset=True) | {"adapter": {"kind": kind}})
    tuned = finetune(config, base, examples, tmp_path / kind)
    assert losses(tuned)[-1] < losses(tuned)[0]


def test_a_packed_base_stays_packed(base, examples, tmp_path):
    packed = quantize(QuantizeConfig(bits=4), base, tmp_path / "packed")
    config = FinetuneConfig(batch_rows=4, epochs=0.5)
    tuned = finetune(config, packed, examples, tmp_path / "tuned", adapter="lora")
    assert load_adapter(load(packed.path), tuned.path, base=packed.path).parameters
    with pytest.raises(ConfigError, match="packed in 4 bits"):
        merge(MergeConfig(), packed, tuned.path, tmp_path / "merged")
    floats = merge(MergeConfig(dequantize=True), packed, tuned.path, tmp_path / "merged")
    model, ids = load(packed.path), torch.arange(20)[None]
    load_adapter(model, tuned.path, base=packed.path)
    torch.testing.assert_close(load(floats.path).logits(ids), model.logits(ids), rtol=0, atol=1e-4)


def test_settings_name_the_kind_or_mean_lora(base, examples, tmp_path):
    config = load_config(FinetuneConfig, settings=["adapter.rank=3"])
    assert config.adapter.rank == 3 and config.adapter.kind == "lora"
    with pytest.raises(ConfigError, match="adapter prefix came with adapter.kind='lora'"):
        finetune(config, base, examples, tmp_path / "out", adapter="prefix")
    with pytest.raises(ConfigError, match="ema_decay averages"):
        FinetuneConfig(adapter={"kind": "prefix"}, ema_decay=0.5)
