"""An encoder–decoder learns to write each answer from what was said before it."""

import json

import pytest
import torch

from groundup.align.examples.make import ChatExample
from groundup.align.finetune import FinetuneConfig, finetune
from groundup.align.sources import SourceFormat
from groundup.core import Artifact, ConfigError, DataError, Message, Sampling
from groundup.generate import Engine
from groundup.model import ImportConfig, Transformer, import_model, save
from groundup.tokenizer import ImportedTokenizer, save_imported
from groundup.train import OptimConfig, sequence_to_sequence_loss
from tests.model.shapes import ENCODER_DECODERS
from tests.tokenizer.imported.fixtures import small
from tests.train.small import without_compiler

from .test_finetune import TURNS, written

BEGIN, END, LANGUAGE = 1, 2, 7
FRAMES = {
    "t5": {"eos_token_id": END, "decoder_start_token_id": 0},
    "bart": {"bos_token_id": BEGIN, "eos_token_id": END, "decoder_start_token_id": END,
             "forced_bos_token_id": LANGUAGE},
}  # fmt: skip
"""Ids around sources and before targets; the second are as mBART's."""
CAPITALS = {"Spain": "Madrid", "Italy": "Rome", "Peru": "Lima"}
TUNING = FinetuneConfig(
    epochs=120, max_length=64, batch_rows=1,
    optim=OptimConfig(matrix_optimizer="adamw", learning_rate=8e-3, embedding_learning_rate=8e-3),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


def tokenizer(family: str) -> ImportedTokenizer:
    """T5's puts </s> behind a text, BART's <s> before it too."""
    found = small("llama")
    told = {"bos_token": "<s>", "eos_token": "</s>", "add_eos_token": True}
    return ImportedTokenizer(found.content, told | {"add_bos_token": family == "bart"}, found.extra)


def reader(place, family: str, **more: object) -> Artifact:
    """A random model of a family as people import it, whose ids config.json alone has."""
    words = tokenizer(family)
    config = ENCODER_DECODERS[family].model_copy(
        update={"vocab_size": words.vocab_size, "context_length": 64}
    )
    save(Transformer(config, seed=1).float(), place / "source")
    save_imported(words, place / "source")
    (place / "source/generation_config.json").unlink()
    file = place / "source/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | FRAMES[family] | more))
    return import_model(ImportConfig(), place / "source", place / "model")


def asked(country: str) -> tuple[Message, ...]:
    return (Message("user", f"What is the capital of {country}?"),)


@pytest.fixture(scope="module")
def capitals(tmp_path_factory) -> Artifact:
    talks = [(*asked(country), Message("assistant", city)) for country, city in CAPITALS.items()]
    return written(tmp_path_factory.mktemp("capitals"), talks)


def test_rows_hold_each_answer_with_its_own_source(tmp_path):
    form, words = SourceFormat(reader(tmp_path, "bart").path), tokenizer("bart")
    rows = form.pack([ChatExample("one", "chat", "group", TURNS)], 64)
    assert (rows.count, rows.dropped, rows.stops) == (1, [], [END])
    batch = rows.batch([0])
    assert batch.source is not None and batch.source_documents is not None
    assert batch.documents is not None
    said = ["What is it?\nA lamp.\nAnd now?", "What is it?"]
    for number, (source, answer) in enumerate(zip(said, ["A tree.", "A lamp."], strict=True)):
        ids = batch.source[batch.source_documents == number].tolist()
        assert ids == [BEGIN, *words.encode(source), END]
        own = batch.documents == number
        targets = batch.targets[own].tolist()
        assert targets == [LANGUAGE, *words.encode(answer), END]
        assert batch.ids[own].tolist() == [END, *targets[:-1]]
        assert batch.weights[own].all()
    assert not batch.weights[batch.documents < 0].any()


@pytest.mark.parametrize(("family", "adapter"), [("bart", ""), ("t5", "lora")])
def test_answers_are_learned_and_given(capitals, tmp_path, family, adapter):
    model = reader(tmp_path, family)
    tuned = finetune(TUNING, model, capitals, tmp_path / "tuned", adapter=adapter)
    engine, base = Engine.open(tuned.path), Engine.open(model.path)
    assert engine.source_frame == base.source_frame and engine.end_ids == base.end_ids
    questions = [asked(country) for country in CAPITALS]
    said = [each.text.strip() for each in engine.generate(questions, Sampling(max_tokens=12))]
    assert said == list(CAPITALS.values())
    before = [each.text.strip() for each in base.generate(questions, Sampling(max_tokens=12))]
    assert not {*before} & {*said}


def test_a_rows_neighbours_change_nothing(tmp_path):
    model = reader(tmp_path, "t5")
    form = SourceFormat(model.path)
    talks = [
        ChatExample(country, "chat", "group", (*asked(country), Message("assistant", city)))
        for country, city in CAPITALS.items()
    ]
    loaded, alone = Engine.open(model.path).model, list[torch.Tensor]()
    for talk in talks:
        alone.append(sequence_to_sequence_loss(loaded, form.pack([talk], 64).batch([0])).total)
    together = form.pack(talks, 64)
    assert together.count < len(talks)
    packed = sequence_to_sequence_loss(loaded, together.batch(range(together.count))).total
    torch.testing.assert_close(packed, torch.stack(alone).sum(), rtol=1e-5, atol=0)


def test_what_cannot_be_learned_is_named(tmp_path):
    model = reader(tmp_path, "t5")
    silent = written(tmp_path / "silent", [TURNS, TURNS[:1]])
    with pytest.raises(DataError, match="row-1 has no answer to train on; add"):
        finetune(TUNING, model, silent, tmp_path / "out")
    long = (Message("user", "What?"), Message("assistant", "word " * 90))
    kept = finetune(
        TUNING.model_copy(update={"epochs": 1}), model, written(tmp_path / "long", [TURNS, long]),
        tmp_path / "kept",
    )  # fmt: skip
    assert kept.numbers["dropped"] == 1
    assert (kept.path / "log/too_long_train.txt").read_text().startswith("row-1 has ")
    with pytest.raises(DataError, match="all 1 were too long. row-0 has "):
        finetune(TUNING, model, written(tmp_path / "all", [long]), tmp_path / "none")
    with pytest.raises(ConfigError, match="max_length=65 exceeds .*context_length=64"):
        finetune(TUNING.model_copy(update={"max_length": 65}), model, silent, tmp_path / "out")
