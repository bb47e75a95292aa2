"""A run that was killed ends with the same bits as one that was not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from groundup.core import MANIFEST, Artifact, ConfigError, produce, record
from groundup.embeddings import Vectors, save_vectors
from groundup.model import Transformer, load, preset
from groundup.tokenizer import (
    MixConfig,
    Shard,
    TokenizerConfig,
    TokensConfig,
    mix,
    open_text,
    train_tokenizer,
)
from groundup.tokenizer import tokens as make_tokens
from groundup.train import OBJECTIVES, NoiseConfig, pretrain
from groundup.train.pretrain.stage import NOISE, begin, stretch
from groundup.train.services.validation import BITS
from tests.train.small import Small, small, tiny_training, without_compiler

GROUPS = ("noise", "router")
LONG = {"tokens": 24_576, "save_seconds": 0.0}


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


def start(made: Small, out: Path) -> subprocess.Popen:
    """Begin the long run in a process of its own."""
    settings = tiny_training(**LONG).plain()
    settings = {k: v for k, v in settings.items() if v is not None and k not in GROUPS}
    settings["optim.warmup"] = settings.pop("optim")["warmup"]
    words = [sys.executable, "-m", "groundup", "pretrain", "--out", str(out)]
    words += ["--tokens", str(made.tokens.path), "--tokenizer", str(made.tokenizer.path)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def interrupt(process: subprocess.Popen, out: Path, number: int) -> str:
    """Send a signal once there is a new checkpoint; return what the process said."""
    before = set(out.glob(".scratch/step-*"))
    while process.poll() is None and set(out.glob(".scratch/step-*")) <= before:
        time.sleep(0.005)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert not (out / MANIFEST).exists(), "it ended before the signal came"
    return said


def test_killed_and_interrupted_runs_resume_to_the_same_bits(made, tmp_path):
    whole = pretrain(tiny_training(**LONG), made.tokens, made.tokenizer, tmp_path / "whole")
    out = tmp_path / "stopped"
    killed = start(made, out)
    interrupt(killed, out, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    rows = record.read_metrics(out / ".scratch" / "metrics.jsonl")
    stopped = start(made, out)
    said = interrupt(stopped, out, signal.SIGINT)
    assert stopped.returncode == 130
    assert "saved; run the same command again to go on" in said.splitlines()[-1]
    resumed = pretrain(tiny_training(**LONG), made.tokens, made.tokenizer, out)
    one, other = (each.file("model.safetensors").read_bytes() for each in (whole, resumed))
    assert one == other
    assert resumed.id == whole.id
    assert not (out / ".scratch").exists()
    after = [row for row in record.read_metrics(out / "log" / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in after] == list(range(48))  # none twice, none missing
    assert [r["loss"] for r in rows if "loss" in r] == [r["loss"] for r in after][: len(rows)]


def test_the_embedding_begins_with_vectors_of_ids(made, tmp_path):
    config = tiny_training(tokens=512)
    body = Transformer(config.shape(300), seed=0)
    drawn, width = body.embed_tokens.weight.detach().clone(), body.config.width
    given = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)

    def vectors(words: list[str], matrix: np.ndarray, name: str) -> Artifact:
        return produce(
            tmp_path / name, kind="vectors", stage="t", version=1, config=config, parents={},
            write=lambda draft: save_vectors(Vectors(words, matrix), draft),
        )  # fmt: skip

    begin(body, vectors(["7", "2", "9"], given, "good"))
    found = body.embed_tokens.weight.detach()
    assert torch.equal(found[3], drawn[3])
    rows = found[[7, 2, 9]]
    centred = torch.from_numpy(given - given.mean(0))
    assert_close(F.cosine_similarity(rows, centred), torch.ones(3))
    assert float(rows.norm(dim=1).mean()) == pytest.approx(0.05 * width**0.5, rel=1e-4)
    with pytest.raises(ConfigError, match="names such as cat"):
        begin(body, vectors(["cat"], given[:1], "words"))
    with pytest.raises(ConfigError, match=f"of width {width}"):
        begin(body, vectors(["1"], given[:1, :8], "narrow"))


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
    ids = torch.from_numpy(Shard.open(made.tokens, "test").document(0)[:64])[None]
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
    with pytest.raises(ConfigError, match=f"not with {other.id[:12]}.*give the one it was made"):
        pretrain(tiny_training(), made.tokens, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [{"tokens": 511}, {"context_length": 1024}])
def test_too_few_tokens_for_a_step_are_an_error(made, tmp_path, changes):
    with pytest.raises(ConfigError, match="do not fill one step"):
        pretrain(tiny_training(**changes), made.tokens, made.tokenizer, tmp_path / "out")


def test_stretches_cover_every_step_once(made):
    shard = open_text(made.tokens, "train")
    stretches, steps = stretch(tiny_training(long_share=0.1), shard)
    assert steps == 16
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64), (14, 128)]
    stretches, _ = stretch(tiny_training(long_share=0.0), shard)
    assert [(each.start, each.loader.length) for each in stretches] == [(0, 64)]


def test_the_process_keeps_its_signals(made, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    pretrain(tiny_training(tokens=512), made.tokens, made.tokenizer, tmp_path / "out")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


PRESETS = ["gpt-1-tiny", "mixtral-tiny", "bert-tiny", "spanbert-tiny", "t5-tiny", "bart-tiny"]


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
    assert (BITS in base.numbers) == is_decoder
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
    config = tiny_training(tokens=4096, preset="spanbert-tiny", save_seconds=0.0)
    whole = pretrain(config, special.tokens, special.tokenizer, tmp_path / "whole")
    make, out = OBJECTIVES["boundary"].make, tmp_path / "stopped"

    def stopping(making):
        if making.step == 5:
            raise KeyboardInterrupt
        return make(making)

    stops = OBJECTIVES["boundary"]._replace(make=stopping)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(OBJECTIVES, "boundary", stops)
        pretrain(config, special.tokens, special.tokenizer, out)
    assert list(out.glob(".scratch/step-*"))
    again = pretrain(config, special.tokens, special.tokenizer, out)
    assert again.id == whole.id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "bert-tiny", "objective": "causal"}, "'causal' trains.*'decoder'.*'masked'"),
        ({"objective": "masked"}, "'masked' trains.*'encoder'.*depth.*give a preset"),
        ({"preset": "birt-tiny"}, "no preset 'birt-tiny'; the nearest are bert-tiny"),
        ({"objective": "mask"}, "objective"),
        ({"nonsense": 3}, "has no key `nonsense`; valid keys: depth, tokens,"),
        ({"noise": {"rate": 1.5}}, "NoiseConfig.rate.*less than 1"),
        ({"noise": {"rate": 0.2}}, "noise.rate is set, and objective='causal'.*none of them"),
        (
            {"preset": "bert-tiny", "noise": {"permute": False}},
            "noise.permute.*'masked'.*dynamic, rate, whole_words",
        ),
        ({"preset": "bert-tiny", "depth": 3}, "depth=3 came with preset='bert-tiny'.*4 layers"),
        ({"layers": 3}, "layers=3 changes a preset.*depth=3"),
        ({"validations": -1}, "validations.*greater than or equal to 1"),
        ({"validation_tokens": 0}, "validation_tokens.*greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        tiny_training(**changes)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_masks_is_refused_before_anything_starts(made, tmp_path):
    with pytest.raises(ConfigError, match=r"has no \[MASK\]"):
        pretrain(
            tiny_training(preset="bert-tiny"), made.tokens, made.tokenizer, tmp_path / "base"
        )  # fmt: skip
    assert not (tmp_path / "base").exists()


def test_every_objective_says_what_noise_it_reads():
    assert NOISE.keys() == OBJECTIVES.keys()
    assert {name for read in NOISE.values() for name in read} == NoiseConfig.model_fields.keys()


def test_a_mixture_trains(made, tmp_path):
    sources = {"one": made.tokens, "two": made.tokens}
    mixed = mix(
        MixConfig(tokens=512, weights={"one": 3, "two": 1}),
        sources,
        made.tokenizer,
        tmp_path / "mix",
    )
    base = pretrain(tiny_training(tokens=512), mixed, made.tokenizer, tmp_path / "out")
    assert {parent.name for parent in base.parents} == {"tokens", "tokenizer"}
    assert base.numbers["steps"] > 0
