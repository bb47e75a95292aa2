"""Models with heads on disk: the peer's answers, its files, and heads that no peer can say."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.compress import quantize_weights
from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    Head,
    HeadConfig,
    ModelWithHead,
    PositionConfig,
    Transformer,
    load,
    load_with_head,
    save,
    save_with_head,
)
from groundup.model.heads import pool
from groundup.model.weights.heads import SentenceEncoderSpec, read_sentence_encoder
from tests.model.families.bert_gpt import FIXTURES, MASKED, decoder, encoder, modern
from tests.model.shapes import tiny_config, tiny_model

PEERS = sorted(path.name for path in (FIXTURES / "heads").iterdir())
IDS, DOCUMENTS = torch.arange(12).reshape(2, 6), torch.tensor([[0] * 6, [0] * 4 + [-1] * 2])


@torch.no_grad()
@pytest.mark.parametrize("name", PEERS)
def test_answers_are_those_of_transformers(name):
    model = load_with_head(FIXTURES / "heads" / name, torch.float32)
    expected = load_file(FIXTURES / "heads" / name / "expected.safetensors")
    real = expected["mask"].bool()
    found, wanted = model(expected["ids"], documents=expected["mask"] - 1), expected["logits"]
    if name.endswith(("tokens", "spans", "replaced")):
        found, wanted = found[real], wanted[real]
    assert_close(found, wanted.squeeze(-1) if name.endswith("number") else wanted,
                 atol=1e-5, rtol=1e-5)  # fmt: skip
    assert not model.training


@pytest.mark.parametrize("name", PEERS)
def test_what_we_write_is_what_transformers_opened(name, tmp_path):
    model = load_with_head(FIXTURES / "heads" / name, torch.float32)
    save_with_head(model, tmp_path)
    kept = json.loads((FIXTURES / "heads" / name / "ours.json").read_text())
    assert json.loads((tmp_path / "config.json").read_text()) == kept["config"]
    assert sorted(load_file(tmp_path / "model.safetensors")) == kept["tensors"]
    same(load_with_head(tmp_path), model)


def same(found: ModelWithHead, wanted: ModelWithHead) -> None:
    """Equal heads, and equal answers."""
    assert isinstance(found.head, Head)
    assert isinstance(wanted.head, Head)
    assert found.head.config == wanted.head.config
    with torch.no_grad():
        answers = found(IDS, documents=DOCUMENTS), wanted(IDS, documents=DOCUMENTS)
    assert torch.equal(*answers)


def test_names_of_classes_are_kept(tmp_path):
    model = load_with_head(FIXTURES / "heads" / "roberta_moods")
    assert isinstance(model.head, Head)
    assert model.head.config.names == ("calm", "glad", "cross")
    save_with_head(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["id2label"] == {"0": "calm", "1": "glad", "2": "cross"}
    assert values["label2id"] == {"calm": 0, "glad": 1, "cross": 2}


OWN = HeadConfig(kind="sequence", labels=3, pooling="mean", inner="gelu")


@pytest.mark.parametrize("config, head", [
    (encoder(output=MASKED), OWN),
    (encoder(output=MASKED, tied_embeddings=False), HeadConfig(kind="token", bias=False)),
    (encoder(position=PositionConfig(kind="sinusoidal")), HeadConfig(inner="tanh")),
    (modern(), HeadConfig(kind="embedding", inner="tanh", unit=False)),
    (decoder("pre", tied_embeddings=False), HeadConfig(pooling="first")),
])  # fmt: skip
def test_a_head_that_no_peer_can_say_is_saved_as_our_own(config, head, tmp_path):
    model = ModelWithHead(tiny_model(config, torch.float32), Head(head, config.width)).eval()
    save_with_head(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["model_type"] == "groundup"
    same(load_with_head(tmp_path), model)


def test_what_reads_tokens_is_left_out(tmp_path):
    config = encoder(output=MASKED, tied_embeddings=False)
    head = Head(HeadConfig(inner="tanh"), config.width)
    save_with_head(ModelWithHead(tiny_model(config, torch.float32), head), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["BertForSequenceClassification"]
    tensors = load_file(tmp_path / "model.safetensors")
    assert not any(name.startswith("cls.") for name in tensors)
    assert all(name.startswith(("bert.", "classifier.")) for name in tensors)


def test_eight_bits_and_half_precision_are_kept(tmp_path):
    model = tiny_model(tiny_config(), torch.bfloat16)
    quantize_weights(model)
    head = Head(HeadConfig(pooling="last", bias=False), 16).bfloat16()
    save_with_head(ModelWithHead(model, head).eval(), tmp_path)
    again = load_with_head(tmp_path)
    same(again, ModelWithHead(model, head))
    assert again.head.classes.weight.dtype == torch.bfloat16


def test_a_model_with_a_head_is_not_opened_without_and_the_other_way_round(tmp_path):
    with pytest.raises(
        ArtifactError, match="is a classifier, which has no token logits; expected a language"
    ):
        load(FIXTURES / "heads" / "bert_moods")
    save(Transformer(encoder(), seed=0), tmp_path)
    with pytest.raises(
        ArtifactError, match="has no head: no classifier, reward or embedding model"
    ):
        load_with_head(tmp_path)
    with pytest.raises(ArtifactError, match="nowhere/config.json cannot be read"):
        load_with_head(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="needs a Transformer with a Head"):
        save_with_head(ModelWithHead(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)), tmp_path)


@pytest.mark.parametrize("edit, message", [
    (lambda s: s.pop("classifier.weight"), "lacks classes.weight"),
    (lambda s: s.update({"classifier.weight": torch.ones(7, 8)}), r"misshapen classes.weight \(7"),
    (lambda s: s.update({"classifier.scale": torch.ones(7)}), "unexpected classes.scale"),
    (lambda s: s.pop("bert.pooler.dense.bias"), "lacks dense.bias"),
    (lambda s: s.update({"qa_outputs.bias": torch.ones(7)}), "unexpected qa_outputs.bias"),
    (lambda s: s.pop("bert.embeddings.LayerNorm.bias"), "lacks embed_norm.bias"),
])  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    source = FIXTURES / "heads" / "bert_moods"
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    state = load_file(source / "model.safetensors")
    edit(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load_with_head(tmp_path)


IDS, DOCUMENTS = torch.arange(12).reshape(2, 6), torch.tensor([[0] * 6, [0] * 4 + [-1] * 2])


@pytest.fixture
def saved(tmp_path):
    """A small encoder whose states' mean is a text's vector, as sentence-transformers keeps it."""
    head = Head(HeadConfig(kind="embedding", pooling="mean"), 8)
    save_with_head(ModelWithHead(tiny_model(encoder(), torch.float32), head), tmp_path)
    return tmp_path


def edit(path, **values):
    """Change keys of a JSON file, which may be new."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | values))


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["first", "mean", "last"])
@pytest.mark.parametrize("unit", [True, False])
def test_every_pooling_goes_there_and_back(pooling, unit, tmp_path):
    head = Head(HeadConfig(kind="embedding", pooling=pooling, unit=unit), 8)
    model = ModelWithHead(tiny_model(modern(), torch.float32), head).eval()
    save_with_head(model, tmp_path)
    again = load_with_head(tmp_path)
    assert again.head.config == head.config
    vectors = again(IDS, documents=DOCUMENTS)
    assert torch.equal(vectors, model(IDS, documents=DOCUMENTS))
    plain = pool(model.model(IDS, documents=DOCUMENTS), DOCUMENTS, pooling)
    assert_close(vectors, torch.nn.functional.normalize(plain) if unit else plain)


def test_what_is_written_is_read(saved):
    head = HeadConfig(kind="embedding", pooling="mean")
    assert read_sentence_encoder(saved) == SentenceEncoderSpec(saved, head, limit=12)
    assert json.loads((saved / "config.json").read_text())["architectures"] == ["BertModel"]


def test_newer_files_say_the_pooling_in_a_word_and_prompts_are_read(saved):
    (saved / "1_Pooling" / "config.json").write_text('{"pooling_mode": "lasttoken"}')
    edit(saved / "config_sentence_transformers.json", default_prompt_name="query",
         prompts={"query": "query: ", "document": ""})  # fmt: skip
    (saved / "sentence_bert_config.json").unlink()
    head = HeadConfig(kind="embedding", pooling="last")
    assert read_sentence_encoder(saved) == SentenceEncoderSpec(saved, head, None, "query: ")


STEPS = [{"type": f"a.b.{kind}", "path": ""} for kind in ("Transformer", "Pooling", "Dense")]


@pytest.mark.parametrize("file, content, message", [
    ("modules.json", STEPS, "the modules Transformer, Pooling, Dense; groundup supports"),
    ("modules.json", [], "has the modules none"),
    ("modules.json", 3, "is not a list of modules"),
    ("modules.json", [{"type": "x"}], "is not a list of modules"),
    ("1_Pooling/config.json", [], "is not a JSON object"),
    ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens;"),
    ("1_Pooling/config.json", {}, "has the pooling none; groundup supports one of cls, mean"),
    ("1_Pooling/config.json", {"pooling_mode_cls_token": 1, "pooling_mode_mean_tokens": 1},
     "has the pooling cls, mean;"),
    ("1_Pooling/config.json", {"pooling_mode": ["mean"]}, "has the pooling"),
    ("1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}, "include_prompt"),
    ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length=0"),
    ("config_sentence_transformers.json", {"default_prompt_name": "q"}, "default_prompt_name='q'"),
])  # fmt: skip
def test_what_we_do_not_compute_is_refused_with_the_file(saved, file, content, message):
    (saved / file).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=message) as caught:
        read_sentence_encoder(saved)
    assert file in str(caught.value)


def test_paths_stay_within_the_directory(saved):
    steps = json.loads((saved / "modules.json").read_text())
    steps[0]["path"], steps[1]["path"] = "/etc/..", "../../1_Pooling"
    (saved / "modules.json").write_text(json.dumps(steps))
    assert read_sentence_encoder(saved).encoder.parent in (saved, saved.parent)
