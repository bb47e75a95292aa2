"""Only the assistant's words are trained, and a run that was stopped ends with the same bits."""

import json
import signal

import numpy as np
import pytest

from groundup.align.examples.make import (
    ChatExample,
    ExamplesConfig,
    make_examples,
    read_examples,
)
from groundup.align.finetune import FinetuneConfig, _pack_split, finetune
from groundup.align.form import load_chat_format
from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    DataError,
    Draft,
    Message,
    produce,
    record,
    write_text,
)
from groundup.corpus import SPLITS
from groundup.generate import Engine
from groundup.model import load
from groundup.tokenizer import load_tokenizer
from groundup.train import CheckpointConfig, Interrupted, OptimConfig, pretrain
from tests.train.parallel.processes import torchrun
from tests.train.small import Small, small, tiny_training, without_compiler

TUNING = FinetuneConfig(epochs=2, max_length=512, batch_rows=4, checkpoints={"every_seconds": 0.0})


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def base(made, tmp_path_factory) -> Artifact:
    config = tiny_training(tokens=1024, context_length=512)
    return pretrain(config, made.tokens, made.tokenizer, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def examples(made, tmp_path_factory) -> Artifact:
    config = ExamplesConfig(explain=40, docstring=0, write=0, topic=0, held_out=8, names=0)
    return make_examples(config, made.corpus, tmp_path_factory.mktemp("examples"))


class Given(Config):
    """Settings of examples that a test writes itself."""

    content: str


def written(out, conversations) -> Artifact:
    """An examples artifact whose every split holds these conversations."""
    lines = "".join(
        ChatExample(f"row-{i}", "chat", "group", tuple(messages)).to_json() + "\n"
        for i, messages in enumerate(conversations)
    )

    def write(draft: Draft) -> None:
        for split in SPLITS:
            write_text(draft.file(f"{split}.jsonl"), lines)

    return produce(
        out, kind="examples", stage="given", version=1, config=Given(content=lines),
        parents={}, write=write,
    )  # fmt: skip


TURNS = (
    Message("user", "What is it?"),
    Message("assistant", "A lamp."),
    Message("user", "And now?"),
    Message("assistant", "A tree."),
)


def test_only_the_assistants_words_and_stop_tokens_are_trained(base, tmp_path):
    packed = _pack_split(
        written(tmp_path / "given", [TURNS]), "train", load_chat_format(base.path, ""), 128
    )
    rows = packed.batch(range(packed.count))
    tokenizer = load_tokenizer(base.path)
    trained = tokenizer.decode(rows.targets[rows.weights > 0].tolist())
    assert trained == "A lamp.<|im_end|>A tree.<|im_end|>"
    assert not rows.weights[rows.documents < 0].any()
    assert packed.stops == [tokenizer.specials["<|im_end|>"]]


def test_other_conversations_are_rehearsed(base, tmp_path):
    other = (Message("user", "Which?"), Message("assistant", "The old one."))
    own, others = written(tmp_path / "own", [TURNS] * 4), written(tmp_path / "others", [other] * 9)
    more, form = [*read_examples(others, "train")], load_chat_format(base.path, "")
    for share, count in ((0.5, 2), (9.0, 9)):
        packed = _pack_split(own, "train", form, 128, more, share)
        rows = packed.batch(range(packed.count))
        said = load_tokenizer(base.path).decode(rows.targets[rows.weights > 0].tolist())
        assert (said.count("A lamp."), said.count("The old one.")) == (4, count)
    made = finetune(TUNING, base, own, tmp_path / "out", rehearse=others)
    plain = finetune(TUNING, base, own, tmp_path / "plain")
    assert others.id in {parent.id for parent in made.parents}
    assert made.files["model.safetensors"] != plain.files["model.safetensors"]


def test_a_conversation_without_an_answer_is_named(base, tmp_path):
    given = written(tmp_path / "given", [TURNS, TURNS[:1]])
    with pytest.raises(DataError, match=r"row-1 has no token to train on .*: '<\|im_start\|>user"):
        finetune(TUNING, base, given, tmp_path / "out")


def test_a_split_without_conversations_is_named(base, tmp_path):
    with pytest.raises(DataError, match="given has no train conversations"):
        finetune(TUNING, base, written(tmp_path / "given", []), tmp_path / "out")


def test_too_long_conversations_are_left_out_and_named(base, tmp_path, monkeypatch):
    said = list[str]()
    monkeypatch.setattr(record, "log", said.append)
    long = (Message("user", "What?"), Message("assistant", "word " * 600))
    given = written(tmp_path / "given", [TURNS, long, TURNS, long])
    chat = finetune(TUNING, base, given, tmp_path / "out")
    assert chat.numbers["dropped"] == 2
    assert chat.numbers["rows"] == 1
    named = (chat.path / "log/too_long_train.txt").read_text().splitlines()
    assert [line.split(" has ")[0] for line in named] == ["row-1", "row-3"]
    assert said[0].startswith("2 in train are longer than max_length=512 and left out; ")


def test_a_length_beyond_the_models_context_is_an_error(base, examples, tmp_path):
    with pytest.raises(ConfigError, match="max_length=1024 exceeds .*context_length=512"):
        finetune(TUNING.model_copy(update={"max_length": 1024}), base, examples, tmp_path / "out")


def test_the_loss_falls_and_the_chat_model_keeps_its_tokenizer(base, examples, tmp_path, capsys):
    record.set_output_mode("json")
    chat = finetune(TUNING, base, examples, tmp_path / "chat")
    record.set_output_mode("silent")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    totals = {event["total"] for event in events if event.get("unit") == "tokens"}
    assert totals == {chat.numbers["steps"] * TUNING.batch_rows * TUNING.max_length}
    rows = record.read_metrics(chat.path / "log" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    held_out = [row["validation"] for row in rows if "validation" in row]
    assert losses[-1] < losses[0] - 0.3
    assert len(held_out) >= 2 and held_out[-1] < held_out[0]
    assert len(losses) == chat.numbers["steps"]
    assert load_tokenizer(chat.path).digest == load_tokenizer(base.path).digest
    ends = json.loads(chat.file("generation_config.json").read_text())["eos_token_id"]
    stop = Engine.open(chat.path).tokenizer.specials["<|im_end|>"]
    assert stop in (ends if isinstance(ends, list) else [ends])
    assert not np.array_equal(weights(chat), weights(base))


def test_turns_make_a_causal_model_of_one_of_prefixes(made, examples, tmp_path):
    config = tiny_training(tokens=512, context_length=512, objective="prefix", validations=1)
    whole = pretrain(config, made.tokens, made.tokenizer, tmp_path / "base")
    chat = finetune(TUNING.model_copy(update={"epochs": 1}), whole, examples, tmp_path / "chat")
    assert load(whole.path).config.prefix and not load(chat.path).config.prefix


def weights(artifact: Artifact) -> np.ndarray:
    return load(artifact.path).head.detach().numpy()


def test_a_stopped_run_resumes_to_the_same_bits(base, examples, tmp_path):
    whole = finetune(TUNING, base, examples, tmp_path / "whole")
    out = tmp_path / "stopped"
    stop_after_first_checkpoint(base, examples, out)
    assert list(out.glob(".scratch/step-*"))
    resumed = finetune(TUNING, base, examples, out)
    assert resumed.id == whole.id
    one, other = (each.file("model.safetensors").read_bytes() for each in (whole, resumed))
    assert one == other
    lines = record.read_metrics(out / "log" / "metrics.jsonl")
    steps = [row["step"] for row in lines if "loss" in row]
    assert steps == list(range(resumed.numbers["steps"]))


def stop_after_first_checkpoint(base: Artifact, examples: Artifact, out, config=TUNING) -> None:
    """Press Ctrl-C once, when a checkpoint is there: a clock looks for it each millisecond."""

    def tick(number, frame) -> None:
        if list(out.glob(".scratch/step-*")):
            signal.raise_signal(signal.SIGINT)
        else:  # armed anew only here: a tick within a tick would press a second time
            signal.setitimer(signal.ITIMER_REAL, 0.001)

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        with pytest.raises(Interrupted, match="run the same command again"):
            finetune(config, base, examples, out)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_run_may_resume_with_other_checkpoints_but_no_other_settings(base, examples, tmp_path):
    stop_after_first_checkpoint(base, examples, out := tmp_path / "out")
    with pytest.raises(ArtifactError, match="settings.batch_rows 4 -> 2.*Only checkpoints"):
        finetune(TUNING.model_copy(update={"batch_rows": 2}), base, examples, out)
    config = TUNING.model_copy(update={"checkpoints": CheckpointConfig(every_steps=3)})
    assert finetune(config, base, examples, out).numbers["steps"]


def test_tuning_has_what_every_run_has(base, examples, tmp_path):
    """Recomputation changes no bit; statistics, events and a profile are written; NaN is caught."""
    short = TUNING.model_copy(update={"epochs": 1})
    plain = finetune(short, base, examples, tmp_path / "plain")
    config = short.model_copy(update={"recompute": "all", "statistics_every": 2})
    rich = finetune(config, base, examples, tmp_path / "rich", profile=1, tensorboard=True)
    assert np.array_equal(weights(plain), weights(rich))
    rows = record.read_metrics(rich.path / "log" / "metrics.jsonl")
    assert any("logits rms" in row for row in rows) and all("mfu" in r for r in rows if "loss" in r)
    names = {path.name for path in (rich.path / "log").iterdir()}
    assert {"profile.txt", "trace.json.gz", "tensorboard"} <= names
    average = short.model_copy(update={"ema_decay": 0.5, "precision": "bfloat16"})
    mean = finetune(average, base, examples, tmp_path / "mean")
    assert not np.array_equal(weights(plain), weights(mean))
    wild = OptimConfig(matrix_optimizer="adamw", learning_rate=1e30, clip=1e30, warmup=0.0)
    with pytest.raises(DataError, match="not finite|non-finite|loss (nan|inf)|exploded"):
        finetune(TUNING.model_copy(update={"optim": wild, "epochs": 8.0}), base, examples,
                 tmp_path / "wild")  # fmt: skip
    with pytest.raises(ConfigError, match="--profile 99 must be a step of this run"):
        finetune(short, base, examples, tmp_path / "late", profile=99)


def test_two_processes_tune_the_model_of_one(base, examples, tmp_path):
    settings = ["precision=float32", "batch_rows=4", "epochs=1", "optim.matrix_optimizer=adamw"]
    words = ["finetune", "--model", str(base.path), "--examples", str(examples.path)]
    words += [word for setting in settings for word in ("--set", setting)]
    for name, world, mesh in (("one", 1, ""), ("two", 2, "shard=2")):
        done = torchrun(world, *words, f"--mesh={mesh}", "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (weights(Artifact.open(tmp_path / name)) for name in ("one", "two"))
    np.testing.assert_allclose(one, two, atol=1e-4)
