"""Fine-tuning an adapter: only it learns and is saved, a stopped run ends alike, and it merges."""

import json

import pytest
import torch

from groundup.adapt import MergeConfig, load_adapter, merge
from groundup.align import (
    AnswersConfig,
    DirectConfig,
    ExamplesConfig,
    FinetuneConfig,
    JudgeConfig,
    PolicyConfig,
    PreferencesConfig,
    direct,
    finetune,
    import_preferences,
    judge_comparisons,
    make_examples,
    packing,
    reinforce,
    sample_answers,
)
from groundup.align.adapters import load_trainable
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, ConfigError, load_config, produce, record
from groundup.generate import Engine
from groundup.measure import read_votes
from groundup.model import Transformer, load, preset, save
from groundup.train import pretrain
from tests.align.feedback.conftest import PROMPT, compared
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


def test_an_adapter_judges_and_answers_as_its_model_would(tuned, tmp_path):
    made, prompt = compared(tmp_path), tmp_path / "prompt.toml"
    prompt.write_text(PROMPT)
    settings = JudgeConfig(reply="choice", max_tokens=8)
    (tmp_path / "principles.txt").write_text("Be brief.\n")
    report = judge_comparisons(made, str(tuned.path), config=settings, prompt=prompt,
                               principles=tmp_path / "principles.txt")  # fmt: skip
    votes = read_votes(made.path)
    assert report.voted == len(votes) == 6 and f"{tuned.path.name}#" in votes[0].who
    (tmp_path / "asked.jsonl").write_text('{"prompt": "Why?"}\n')
    config = AnswersConfig(answers=4, max_tokens=8)
    drawn = sample_answers(config, [tmp_path / "asked.jsonl"], tmp_path / "drawn",
                           model=str(tuned.path))  # fmt: skip
    assert drawn.numbers["answers"] > 1 and drawn.parents[0].id == tuned.id


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


@pytest.mark.parametrize("name", ["gpt-1-tiny", "gpt-2-tiny"])
def test_an_adapter_that_files_cannot_name_is_refused_before_training(name, base, tmp_path):
    config = preset(name).config.model_copy(update={"vocab_size": 64})

    def write(draft):
        save(Transformer(config), draft.path)

    made = produce(tmp_path / "m", kind="model", stage="test", version=1, config=FinetuneConfig(),
                   parents={}, write=write)  # fmt: skip
    with pytest.raises(ConfigError, match="files transpose or repeat"):
        load_trainable(TUNING, {"model": made})


def test_settings_are_of_the_kind_that_has_them(base, examples, tmp_path):
    config = load_config(FinetuneConfig, settings=["adapter.rank=3"])
    assert config.adapter.rank == 3 and config.adapter.kind == "lora"
    for setting, kind in (("length=4", "prefix"), ("style=houlsby", "bottleneck")):
        config = load_config(FinetuneConfig, settings=[f"adapter.{setting}"])
        assert config.adapter.kind == kind
    config = load_config(FinetuneConfig, settings=["adapter.rank=3"])
    with pytest.raises(ConfigError, match="adapter prefix came with adapter.kind='lora'"):
        finetune(config, base, examples, tmp_path / "out", adapter="prefix")
    with pytest.raises(ConfigError, match="ema_decay averages"):
        FinetuneConfig(adapter={"kind": "prefix"}, ema_decay=0.5)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Artifact:
    path = tmp_path_factory.mktemp("pairs")
    rows = [{"prompt": f"say {n}", "chosen": "abc" * 2, "rejected": "XYZ" * 2} for n in range(40)]
    (path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return import_preferences(PreferencesConfig(), [path / "rows.jsonl"], path / "out")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"say {n}"}) + "\n" for n in range(20)))
    return path


def adapted_logits(base: Artifact, adapter: Artifact) -> torch.Tensor:
    model = load(base.path)
    load_adapter(model, adapter.path, base=base.path)
    return model.logits(torch.arange(20)[None])


FAST = {"learning_rate": 1e-2, "embedding_learning_rate": 1e-2, "matrix_optimizer": "adamw"}


@pytest.mark.parametrize("begins", ["lora", "tuned"])
def test_preferences_train_a_new_adapter_or_one_that_was_tuned(
    base, tuned, pairs, begins, tmp_path, monkeypatch
):
    seen = list[torch.Tensor]()
    real = packing.with_reference

    def watched(model, answers, length):
        seen.append(model.logits(torch.arange(20)[None]).detach())
        return real(model, answers, length)

    monkeypatch.setattr(packing, "with_reference", watched)
    config = DirectConfig(
        epochs=4, batch_answers=8, max_length=128, optim=FAST, precision="float32"
    )
    adapter = str(tuned.path) if begins == "tuned" else begins
    made = direct(config, base, pairs, tmp_path / "out", adapter)
    assert made.kind == "adapter" and made.numbers["held_out"]["preferred"] == 1.0
    assert [parent.name for parent in made.parents].count("adapter") == (begins == "tuned")
    before = (
        adapted_logits(base, tuned)
        if begins == "tuned"
        else load(base.path).logits(torch.arange(20)[None])
    )
    torch.testing.assert_close(seen[0], before, rtol=0, atol=1e-5)
    assert not torch.allclose(adapted_logits(base, made), before, atol=1e-2)


@pytest.mark.parametrize("begins", ["lora", "tuned"])
@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
def test_rewards_train_an_adapter_whose_reference_is_what_it_was(
    base, tuned, tasks, begins, online, tmp_path, monkeypatch
):
    seen, real = list[torch.Tensor](), packing.with_reference

    def watched(model, answers, length, vocab_size):
        seen.append(model.logits(torch.arange(20)[None]).detach())
        return real(model, answers, length, vocab_size)

    monkeypatch.setattr(packing, "with_reference", watched)
    config = PolicyConfig(
        steps=4, prompts=2, answers=4, max_tokens=6, optim=FAST, loss={"beta": 0.1},
        rewards={"number": 0, "fresh": 0, "ended": 1}, online=online,
    )  # fmt: skip
    adapter = str(tuned.path) if begins == "tuned" else begins
    made = reinforce(config, base, tasks, tmp_path / "out", adapter)
    before = (
        adapted_logits(base, tuned)
        if begins == "tuned"
        else load(base.path).logits(torch.arange(20)[None])
    )
    for one in seen:  # at every step, whatever has been learnt
        torch.testing.assert_close(one, before, rtol=0, atol=1e-5)
    assert len(seen) == 4 and made.kind == "adapter"
    merged = merge(MergeConfig(), base, made.path, tmp_path / "merged")
    assert Engine.open(merged.path).end_ids


def test_what_an_adapter_cannot_be_is_told(base, pairs, tuned, tasks, tmp_path):
    with pytest.raises(ConfigError, match="lorra is neither a kind .* nor a directory"):
        direct(DirectConfig(max_length=128), base, pairs, tmp_path / "a", "lorra")
    with pytest.raises(ConfigError, match="adapter.kind='lora'"):
        config = DirectConfig(max_length=128, adapter={"rank": 2})
        direct(config, base, pairs, tmp_path / "b", "prefix")
    with pytest.raises(ConfigError, match="adapter.… settings came with --adapter"):
        direct(config, base, pairs, tmp_path / "c", str(tuned.path))
    with pytest.raises(ConfigError, match="exact needs the model's own layers"):
        reinforce(PolicyConfig(exact=True), base, tasks, tmp_path / "d", "lora")
