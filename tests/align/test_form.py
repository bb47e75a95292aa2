"""A model of others is tuned in its own form, and leaves it was."""

import io
import json
import os
import sys

import pytest
import torch

from groundup.align.adapters import adamw
from groundup.align.examples.show import show_examples
from groundup.align.finetune import USUAL, FinetuneConfig, finetune
from groundup.align.form import load_chat_format, read_template
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, ConfigError, Message, Sampling, record
from groundup.evaluate.harness.local import open_native
from groundup.generate import Engine
from groundup.generate.talk import chat
from groundup.model import ImportConfig, Transformer, import_model, load, preset, save
from groundup.model.weights.gguf.export import export_gguf
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    PLAIN_TEMPLATE,
    SPECIALS,
    FastTokenizer,
    ImportedTokenizer,
    load_tokenizer,
    save_imported,
    save_tokenizer,
    template_digest,
)
from groundup.train import OptimConfig, is_imported, with_usual_optim
from tests.align.imported import INST, TURNS, bytes_with_turns, directory_of, imported_of, pieces
from tests.align.test_finetune import written
from tests.train.small import without_compiler

TALK = (
    Message("user", "What is it?"),
    Message("assistant", "A lamp."),
    Message("user", "And now?"),
    Message("assistant", "A tree."),
)
QUICK = FinetuneConfig(epochs=2, max_length=96, batch_rows=2, optim=OptimConfig())
LEARNING = FinetuneConfig(
    epochs=20, max_length=96, batch_rows=2,
    optim=OptimConfig(matrix_optimizer="muon", muon_learning_rate=0.03, learning_rate=1e-2,
                      embedding_learning_rate=1e-2),
)  # fmt: skip
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "pieces.json")


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(autouse=True)
def silent_afterwards():
    yield
    record.set_output_mode("silent")


def given(place, count: int = 6) -> Artifact:
    return written(place / "given", [TALK] * count)


def trained(base: Artifact, template: str = "") -> str:
    form = load_chat_format(base.path, read_template(template))
    rendered = form.render(TALK, "row-0")
    pairs = zip(rendered.ids, rendered.mask, strict=True)
    return form.tokenizer.decode(id for id, own in pairs if own)


def test_answers_are_trained_in_the_models_own_template(tmp_path):
    theirs = imported_of(tmp_path, pieces(chat_template=INST))
    assert trained(theirs) == " A lamp.</s> A tree.</s>".removeprefix(" ")
    turns = imported_of(tmp_path / "b", bytes_with_turns(chat_template=TURNS))
    assert trained(turns) == "A lamp.<stop>A tree.<stop>"
    assert trained(turns, "plain") == " A lamp.<|end|> A tree.<|end|>"


def test_the_tuned_model_keeps_its_tokenizer_to_the_byte_and_learns_to_stop(tmp_path):
    base = imported_of(tmp_path, bytes_with_turns(chat_template=TURNS), ends=[1])
    tuned = finetune(LEARNING, base, given(tmp_path), tmp_path / "tuned")
    for name in TOKENIZER:
        assert (tuned.path / name).exists() == (base.path / name).exists()
        if (base.path / name).exists():
            assert (tuned.path / name).read_bytes() == (base.path / name).read_bytes()
    stop = load_tokenizer(base.path).specials["<stop>"]
    for name in ("generation_config.json", "config.json"):
        assert json.loads((tuned.path / name).read_text())["eos_token_id"] == [stop, 1]
    engine = Engine.open(tuned.path)
    (answer,) = engine.generate([TALK[:1]], Sampling(max_tokens=20))
    assert (answer.text, answer.ids[-1], answer.finish_reason) == ("A lamp.", stop, "stop")
    lines = record.read_metrics(tuned.path / "log" / "metrics.jsonl")
    losses = [row["loss"] for row in lines if "loss" in row]
    assert losses[-1] < 0.1 < losses[0]
    check_later_stages(tuned, tmp_path, stop)


def check_later_stages(tuned: Artifact, place, stop: int) -> None:
    """Quantising, exporting, measuring and talking go on from the tuned model."""
    small = quantize(QuantizeConfig(), tuned, place / "small")
    assert load_tokenizer(small.path).digest == load_tokenizer(tuned.path).digest
    assert json.loads((small.path / "config.json").read_text())["eos_token_id"] == [stop, 1]
    model = open_native(small.path, chat=True, dtype=torch.float32)
    assert model.tokenizer.end_ids == (stop, 1)
    assert model.render(TALK[:1]).endswith("<stop>\n<turn>assistant\n")
    export_gguf(tuned, place / "tuned.gguf", "F32")
    again = import_model(ImportConfig(), place / "tuned.gguf", place / "again")
    assert (again.path / "chat_template.jinja").read_text() == TURNS
    (answer,) = Engine.open(again.path).generate([TALK[:1]], Sampling(max_tokens=20))
    assert answer.text == "A lamp."


def test_people_talk_to_a_tuned_model_of_others(tmp_path, monkeypatch, capsys):
    base = imported_of(tmp_path, pieces(chat_template=INST))
    tuned = finetune(LEARNING, base, given(tmp_path), tmp_path / "tuned")
    monkeypatch.setattr(sys, "stdin", io.StringIO("What is it?\nAnd now?\n"))
    chat(tuned.path)
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said == ["A lamp.", "A tree."]


def test_a_base_model_without_a_template_says_what_to_do(tmp_path):
    base = imported_of(tmp_path, pieces())
    with pytest.raises(ConfigError, match="has no chat template, and its vocabulary lacks .*plain"):
        finetune(QUICK, base, given(tmp_path), tmp_path / "tuned")
    with pytest.raises(ConfigError, match="cannot be read .*expected a chat template"):
        read_template(str(tmp_path / "nothing.jinja"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot be read .*no regular file"):
        read_template(str(tmp_path / "pipe"))
    file = tmp_path / "inst.jinja"
    file.write_text(INST, encoding="utf-8")
    for told, source in (("plain", PLAIN_TEMPLATE), (str(file), INST)):
        config = QUICK.model_copy(update={"template": told})
        tuned = finetune(config, base, given(tmp_path), tmp_path / f"by {source[:9]}")
        assert (tuned.path / "chat_template.jinja").read_text() == source
        assert tuned.config["template"] == source
        assert json.loads((tuned.path / "generation_config.json").read_text())["eos_token_id"] == 2
        assert Engine.open(tuned.path).template.source == source
        assert open_native(tuned.path, chat=True).signature.count(template_digest(source)[:12])
    assert (tuned.path / "tokenizer.json").read_bytes() == (
        base.path / "tokenizer.json"
    ).read_bytes()


def test_the_two_special_tokens_of_turns_are_all_that_groundups_template_needs(tmp_path):
    content = bytes_with_turns().content
    *others, first, last = content["added_tokens"]
    added = [token | {"special": False} for token in others]
    added += [first | {"content": SPECIALS[1]}, last | {"content": SPECIALS[2]}]
    save_imported(ImportedTokenizer(content | {"added_tokens": added}, {}), tmp_path)
    form = load_chat_format(tmp_path, "")
    assert {*form.tokenizer.specials} == {*SPECIALS[1:]} and form.source == CHATML_TEMPLATE


def test_without_an_end_of_text_plain_turns_are_refused(tmp_path):
    base = imported_of(tmp_path, pieces(eos_token=""))
    with pytest.raises(ConfigError, match="plain ends answers with the eos_token, and .* has none"):
        load_chat_format(base.path, PLAIN_TEMPLATE)


def test_our_form_is_used_where_the_vocabulary_knows_it(tmp_path):
    ours = FastTokenizer([])
    save_tokenizer(ours, tmp_path / "words")
    for name in ("chat_template.jinja",):
        (tmp_path / "words" / name).unlink()
    form = load_chat_format(tmp_path / "words", "")
    assert form.template is None and form.source == CHATML_TEMPLATE
    with pytest.raises(ConfigError, match="renders only groundup's chat format; omit template"):
        load_chat_format(tmp_path / "words", PLAIN_TEMPLATE)


def test_a_row_that_cannot_be_masked_is_named(tmp_path):
    cut = TURNS.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    base = imported_of(tmp_path, bytes_with_turns(chat_template=cut))
    thought = (TALK[0], Message("assistant", "<think>so</think>A lamp."))
    examples = written(tmp_path / "given", [TALK, thought])
    with pytest.raises(ConfigError, match="row-1: The chat template changes an assistant's words"):
        finetune(QUICK, base, examples, tmp_path / "tuned")


def test_an_encoder_is_refused(tmp_path):
    save_tokenizer(FastTokenizer([]), tmp_path / "words")
    config = preset("bert-tiny").config.model_copy(update={"vocab_size": 259})
    directory = tmp_path / "encoder"
    save(Transformer(config, seed=0), directory, tmp_path / "words")
    base = import_model(ImportConfig(), directory, tmp_path / "imported")
    with pytest.raises(ConfigError, match="is of kind 'encoder'; this training needs a decoder or"):
        finetune(QUICK, base, given(tmp_path), tmp_path / "tuned")


def test_a_model_of_others_takes_gentle_steps_unless_told(tmp_path):
    base = imported_of(tmp_path, pieces(chat_template=INST))
    default = FinetuneConfig(epochs=1, max_length=96, batch_rows=2)
    tuned = finetune(default, base, given(tmp_path, 2), tmp_path / "tuned")
    assert OptimConfig(**tuned.config["optim"]) == adamw(USUAL.imported)
    assert is_imported(tuned) and is_imported(base)
    own = FinetuneConfig(optim={"learning_rate": 1e-4})
    some = with_usual_optim(own, base, USUAL.native, adamw(USUAL.imported)).optim
    assert some == adamw(USUAL.imported).model_copy(update={"learning_rate": 1e-4})
    ours = written(tmp_path / "ours", [TALK])  # of no model at all
    assert (
        with_usual_optim(default, ours, USUAL.native, adamw(USUAL.imported)).optim == USUAL.native
    )
    moved = load(tuned.path).head - load(base.path).head
    assert 0 < moved.abs().max() < 1e-4


def test_what_is_trained_is_shown(tmp_path, capsys):
    words = directory_of(tmp_path / "model", bytes_with_turns(chat_template=TURNS))
    show_examples(given(tmp_path).path, tokenizer=words, count=1)
    shown = capsys.readouterr().out
    assert "<turn>assistant\n⟦A lamp.<stop>⟧\n" in shown
    show_examples(given(tmp_path).path, tokenizer=words, template="plain", count=1)
    assert "Assistant:⟦ A lamp.<|end|>⟧User: And now?" in capsys.readouterr().out
