"""How an encoder's states become one vector: read from its directory, never guessed."""

import json

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ArtifactError
from groundup.model import Head, HeadConfig, ModelWithHead, load_with_head, save_with_head
from groundup.model.heads import pool
from groundup.model.weights.sentences import SentenceEncoderSpec, read_sentence_encoder
from tests.model.families.bert_gpt import encoder, modern
from tests.model.shapes import tiny_model

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
