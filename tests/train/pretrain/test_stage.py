"""A run that was killed ends with the same bits as one that was not.

A model begins with what it is given: vectors, or a base that reads longer rows.
"""

import os
import shutil
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from groundup.compress import quantize_weights
from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    changed_settings,
    produce,
    record,
)
from groundup.embeddings import Vectors, save_vectors
from groundup.model import PositionConfig, RopeScaling, Transformer, load, preset, save
from groundup.tokenizer import (
    MixConfig,
    Shard,
    TokenizerConfig,
    TokensConfig,
    mix_tokens,
    train_tokenizer,
)
from groundup.tokenizer import encode_corpus as make_tokens
from groundup.train import (
    OBJECTIVES,
    CheckpointConfig,
    OptimConfig,
    PretrainConfig,
    StageConfig,
    WatchdogConfig,
    pretrain,
)
from groundup.train.pretrain.stage import (
    TRAINED_HERE_OPTIM,
    _extend_context,
    _load_embedding_vectors,
    initial_model,
)
from groundup.train.services.validation import BITS_PER_BYTE
from tests.model.shapes import tiny_config
from tests.train.parallel.processes import CONTEXT, command_line
from tests.train.small import Small, tiny_training, without_compiler
from tests.train.test_loop import tiny_model

ALWAYS = CheckpointConfig(every_seconds=0.0)
LONG = {"tokens": 16_384, "checkpoints": ALWAYS}


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


def start(made: Small, out: Path) -> ForkServerProcess:
    """Begin the long run in a process of its own."""
    config = tiny_training(tokens=LONG["tokens"])
    settings = {key: value for key, (_, value) in changed_settings(config).items()}
    settings |= {"checkpoints.every_seconds": 0.0}
    words = ["pretrain", "--out", str(out)]
    words += ["--tokens", str(made.tokens.path), "--tokenizer", str(made.tokenizer.path)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    process = CONTEXT.Process(target=command_line, args=(str(out.parent), words))
    process.start()
    return process


def interrupt(process: ForkServerProcess, out: Path, number: int) -> str:
    """Send a signal once there is a new checkpoint; return what the process said."""
    before = set(out.glob(".scratch/step-*"))
    while process.is_alive() and set(out.glob(".scratch/step-*")) <= before:
        time.sleep(0.005)
    os.kill(process.pid, number)
    process.join(60)
    assert not (out / MANIFEST).exists(), "it ended before the signal came"
    return (out.parent / "err").read_text(encoding="utf-8")


def test_killed_and_interrupted_runs_resume_to_the_same_bits(made, tmp_path):
    whole = pretrain(tiny_training(**LONG), made.tokens, made.tokenizer, tmp_path / "whole")
    out = tmp_path / "stopped"
    killed = start(made, out)
    interrupt(killed, out, signal.SIGKILL)
    assert killed.exitcode == -signal.SIGKILL
    rows = record.read_metrics(out / ".scratch" / "metrics.jsonl")
    stopped = start(made, out)
    said = interrupt(stopped, out, signal.SIGINT)
    assert stopped.exitcode == 130
    assert "saved; run the same command again to resume" in said.splitlines()[-1]
    resumed = pretrain(tiny_training(**LONG), made.tokens, made.tokenizer, out)
    one, other = (each.file("model.safetensors").read_bytes() for each in (whole, resumed))
    assert one == other
    assert resumed.id == whole.id
    assert not (out / ".scratch").exists()
    after = [row for row in record.read_metrics(out / "log" / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in after] == list(range(32))  # none twice, none missing
    assert [r["loss"] for r in rows if "loss" in r] == [r["loss"] for r in after][: len(rows)]


def test_the_loss_falls_and_the_model_opens(made, tmp_path):
    base = pretrain(tiny_training(), made.tokens, made.tokenizer, tmp_path / "base")
    rows = record.read_metrics(base.path / "log" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    held_out = [row["validation"] for row in rows if "validation" in row]
    assert len(losses) == 16 and losses[-1] < losses[0] - 1
    assert len(held_out) == 4 and held_out == sorted(held_out, reverse=True)
    assert base.numbers["steps"] == 16 and base.numbers["tokens"] == 8192
    assert base.numbers["final loss"] == losses[-1] and base.numbers["compiled"] is False
    model = load(base.path)
    assert model.config.context_length == 128 and model.config.layers == 1
    ids = torch.from_numpy(Shard.open(made.tokens, "test").document_ids(0)[:64])[None]
    with torch.no_grad():
        logits = model.logits(ids[:, :-1]).flatten(0, 1)
    assert torch.nn.functional.cross_entropy(logits, ids[0, 1:]) < losses[0] - 1


def test_equal_runs_give_equal_ids_and_another_seed_another(made, tmp_path):
    def ran(name: str, **changes) -> str:
        config = tiny_training(tokens=1024, validations=1, **changes)
        return pretrain(config, made.tokens, made.tokenizer, tmp_path / name).id

    assert ran("one") == ran("two") != ran("three", seed=1)


def test_micro_batches_leave_the_first_loss_as_it_is(made, tmp_path):
    losses = []
    for parts in (1, 4):
        config = tiny_training(tokens=1024, validations=1, micro_batches=parts)
        base = pretrain(config, made.tokens, made.tokenizer, tmp_path / str(parts))
        losses.append(record.read_metrics(base.path / "log" / "metrics.jsonl")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-2)


def test_a_tokenizer_that_did_not_make_the_tokens_is_named(made, tmp_path):
    other = train_tokenizer(TokenizerConfig(vocab_size=310), made.corpus, tmp_path / "other")
    with pytest.raises(ConfigError, match=f"not with {other.id[:12]}.*use the one it was made"):
        pretrain(tiny_training(), made.tokens, other, tmp_path / "out")
    with pytest.raises(ArtifactError, match="Expected a tokens artifact, got a corpus"):
        pretrain(tiny_training(), made.corpus, made.tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [{"tokens": 511}, {"context_length": 1024}])
def test_too_few_tokens_for_a_step_are_an_error(made, tmp_path, changes):
    with pytest.raises(ConfigError, match="do not fill one step"):
        pretrain(tiny_training(**changes), made.tokens, made.tokenizer, tmp_path / "out")


def test_the_process_keeps_its_signals(made, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    pretrain(tiny_training(tokens=512), made.tokens, made.tokenizer, tmp_path / "out")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# Those that are slow take two seconds each; of each kind one stays, and every objective has tests.
SLOW_PRESETS = ("mixtral-tiny", "spanbert-tiny", "bart-tiny")
PRESETS = [
    "gpt-1-tiny", "bert-tiny", "t5-tiny",
    *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_PRESETS),
]  # fmt: skip


@pytest.fixture(scope="module")
def special(made, tmp_path_factory) -> Small:
    """The same documents with every special token."""
    folder = tmp_path_factory.mktemp("special")
    sets = ("chat", "encoder", "sentinels", "middle")
    config = TokenizerConfig(vocab_size=400, specials=sets)
    words = train_tokenizer(config, made.corpus, folder / "tokenizer")
    shards = make_tokens(TokensConfig(), made.corpus, words, folder / "tokens")
    return Small(made.corpus, words, shards)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_train_by_their_own_objective_and_open(special, tmp_path, name: str):
    config = tiny_training(tokens=1536, preset=name, validations=1, long_share=0.0, micro_batches=2)
    base = pretrain(config, special.tokens, special.tokenizer, tmp_path / "base")
    assert base.numbers["objective"] == preset(name).objective
    # Twelve steps teach little; two losses in one, and large embeddings, start higher.
    assert 0 < base.numbers["validation loss"] < {"spanbert-tiny": 13, "t5-tiny": 10}.get(name, 6.5)
    is_decoder = preset(name).config.kind == "decoder"
    assert (BITS_PER_BYTE in base.numbers) == is_decoder
    model = load(base.path)
    assert model.config.kind == preset(name).config.kind
    assert (model.config.vocab_size, model.config.context_length) == (400, 128)
    assert not model.training


@pytest.mark.parametrize("name", ["prefix", "middle", "next_sentence"])
def test_other_objectives_of_a_kind_are_for_choosing(special, tmp_path, name: str):
    shape = "bert-tiny" if name == "next_sentence" else None
    config = tiny_training(tokens=1024, preset=shape, objective=name, validations=1)
    base = pretrain(config, special.tokens, special.tokenizer, tmp_path / "base")
    assert base.numbers["objective"] == name and base.config["objective"] == name
    assert load(base.path).config.prefix is (name == "prefix")


def test_a_masked_run_that_is_stopped_goes_on_to_the_same_bits(special, tmp_path, monkeypatch):
    config = tiny_training(tokens=4096, preset="spanbert-tiny", checkpoints=ALWAYS)
    whole = pretrain(config, special.tokens, special.tokenizer, tmp_path / "whole")
    make, out = OBJECTIVES["boundary"].make_batch, tmp_path / "stopped"

    def stopping(making):
        if making.step == 5:
            raise KeyboardInterrupt
        return make(making)

    stops = OBJECTIVES["boundary"]._replace(make_batch=stopping)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(OBJECTIVES, "boundary", stops)
        pretrain(config, special.tokens, special.tokenizer, out)
    assert list(out.glob(".scratch/step-*"))
    again = pretrain(config, special.tokens, special.tokenizer, out)
    assert again.id == whole.id


@pytest.fixture(scope="module")
def stopped(made, tmp_path_factory) -> Path:
    """A run of eight steps that was stopped after its fifth."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    make = OBJECTIVES["causal"].make_batch

    def stopping(making):
        if making.step == 5:
            raise KeyboardInterrupt
        return make(making)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(OBJECTIVES, "causal", OBJECTIVES["causal"]._replace(make_batch=stopping))
        pretrain(tiny_training(**EIGHT, checkpoints=ALWAYS), made.tokens, made.tokenizer, out)
    return out


EIGHT = {"tokens": 4096, "validations": 1}


def test_what_decides_the_bits_may_not_change_when_a_run_goes_on(made, stopped):
    said = "settings.micro_batches 1 -> 2.*Only checkpoints, watchdog, statistics_every may"
    with pytest.raises(ArtifactError, match=f"{said} change: micro_batches changes rounding"):
        pretrain(tiny_training(**EIGHT, micro_batches=2), made.tokens, made.tokenizer, stopped)
    with pytest.raises(ArtifactError, match="settings.validations 1 -> 2"):
        changed = EIGHT | {"validations": 2}
        pretrain(tiny_training(**changed), made.tokens, made.tokenizer, stopped)


def test_how_it_is_run_may_change_when_a_run_goes_on(made, stopped, tmp_path):
    whole = pretrain(tiny_training(**EIGHT), made.tokens, made.tokenizer, tmp_path / "whole")
    others = {
        "checkpoints": CheckpointConfig(every_seconds=None, every_steps=3, keep=5),
        "watchdog": WatchdogConfig(limit_seconds=90.0),
        "statistics_every": 2,
    }
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    again = pretrain(tiny_training(**EIGHT, **others), made.tokens, made.tokenizer, out)
    assert again.id == whole.id and "checkpoints" not in again.config
    rows = record.read_metrics(again.path / "log" / "metrics.jsonl")
    assert any("logits rms" in row for row in rows)
    assert pretrain(tiny_training(**EIGHT), made.tokens, made.tokenizer, out).id == whole.id


def test_a_tokenizer_without_masks_is_refused_before_anything_starts(made, tmp_path):
    with pytest.raises(ConfigError, match=r"has no \[MASK\]"):
        pretrain(
            tiny_training(preset="bert-tiny"), made.tokens, made.tokenizer, tmp_path / "base"
        )  # fmt: skip
    assert not (tmp_path / "base").exists()


def test_a_mixture_trains(made, tmp_path):
    sources = {"one": made.tokens, "two": made.tokens}
    mixed = mix_tokens(
        MixConfig(tokens=512, weights={"one": 3, "two": 1}),
        sources,
        made.tokenizer,
        tmp_path / "mix",
    )
    base = pretrain(tiny_training(tokens=512), mixed, made.tokenizer, tmp_path / "out")
    assert {parent.name for parent in base.parents} == {"tokens", "tokenizer"}
    assert base.numbers["steps"] > 0


def test_a_base_is_trained_on_from_where_it_was(made, tmp_path):
    first = pretrain(tiny_training(), made.tokens, made.tokenizer, tmp_path / "first")
    config = PretrainConfig(
        tokens=1024, batch_tokens=512, validation_tokens=512, validations=1,
        length=64, optim=OptimConfig(warmup=0.0),
    )  # fmt: skip
    again = pretrain(config, made.tokens, made.tokenizer, tmp_path / "again", base=first)
    assert {parent.name for parent in again.parents} == {"tokens", "tokenizer", "base"}
    rows = record.read_metrics(again.path / "log" / "metrics.jsonl")
    before = first.numbers["validation loss"]
    assert rows[0]["loss"] == pytest.approx(before, abs=0.5)
    assert again.numbers["validation loss"] < before
    model = load(again.path)
    assert model.config == load(first.path).config
    assert again.config["context_length"] == 128
    kept = OptimConfig(**again.config["optim"])
    assert (kept.muon_learning_rate, kept.warmup) == (TRAINED_HERE_OPTIM.muon_learning_rate, 0.0)
    carried = pretrain(config, made.tokens, first, tmp_path / "carried", base=first)
    assert carried.numbers["validation loss"] == again.numbers["validation loss"]
    with pytest.raises(ConfigError, match="depth came with a base"):
        pretrain(tiny_training(), made.tokens, made.tokenizer, tmp_path / "no", base=first)


def test_a_base_of_another_tokenizer_is_refused(made, special, tmp_path):
    config = tiny_training(tokens=512, validations=1)
    first = pretrain(config, made.tokens, made.tokenizer, tmp_path / "first")
    config = PretrainConfig(tokens=512, batch_tokens=512, length=64)
    with pytest.raises(ConfigError, match="has tokenizer .* run: groundup tokens"):
        pretrain(config, special.tokens, special.tokenizer, tmp_path / "again", base=first)


def test_sequences_beyond_the_context_are_refused_before_the_run(made, tmp_path):
    config = PretrainConfig(tokens=512, batch_tokens=512, length=64, context_length=32)
    with pytest.raises(ConfigError, match="of 64 tokens exceed context_length=32; raise it"):
        pretrain(config, made.tokens, made.tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stages_read_their_own_mixtures(made, tmp_path):
    sources = {"one": made.tokens, "two": made.tokens}
    settings = MixConfig(tokens=2048, weights={"one": 1, "two": 1})
    mixed = mix_tokens(settings, sources, made.tokenizer, tmp_path / "mix")
    stages = (
        StageConfig(share=0.5, length=64),
        StageConfig(share=0.5, length=128, mixture={"two": 1.0}),
    )
    config = tiny_training(tokens=2048, stages=stages, validations=1)
    base = pretrain(config, mixed, made.tokenizer, tmp_path / "out")
    assert base.numbers["steps"] == 4
    stages = (StageConfig(share=1.0, length=64, mixture={"three": 1.0}),)
    with pytest.raises(ConfigError, match="names three.*which here are one, two"):
        pretrain(tiny_training(stages=stages), mixed, made.tokenizer, tmp_path / "no")
    assert not (tmp_path / "no").exists()


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
    quantize_weights(model)
    save(model, tmp_path)
    ids = torch.arange(1, 13)[None]
    record.set_output_mode("plain")
    made = initial_model(longer(1), 32, tmp_path, None)
    assert "is quantized; its weights are dequantized" in capsys.readouterr().err
    assert all(weight.dtype == torch.float32 for weight in made.parameters())
    assert sum(p.numel() for p in made.parameters()) == sum(
        p.numel() for p in tiny_model().parameters()
    )
    assert_close(made.logits(ids), load(tmp_path, dtype=torch.float32).logits(ids))
    made.logits(ids).sum().backward()
    assert all(weight.grad is not None for weight in made.parameters())
    save(made, tmp_path / "again", tmp_path)
    assert_close(load(tmp_path / "again").logits(ids), made.logits(ids))
