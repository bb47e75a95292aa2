"""Model directories of ours, opened for measuring."""

import importlib.util
import json

import pytest
import torch

from groundup.core import (
    ArtifactError,
    ConfigError,
    LoglikelihoodRequest,
    Message,
    Sampling,
    StopCriteria,
)
from groundup.evaluate.harness.hf import open_hf
from groundup.evaluate.harness.native import NativeModel, model_digest, open_native, read_end_ids
from groundup.generate import Engine
from groundup.model import save
from groundup.tokenizer import (
    ChatTemplate,
    FastTokenizer,
    ImportedTokenizer,
    save_tokenizer,
    template_digest,
)
from tests.align.imported import TURNS, bytes_with_turns, directory_of
from tests.evaluate.harness.test_local import TOKENIZER
from tests.evaluate.test_likelihood import tiny


@pytest.fixture
def directory(tmp_path):
    save_tokenizer(TOKENIZER, tmp_path / "t")
    save(tiny(TOKENIZER.vocab_size, torch.float32), tmp_path / "m", tmp_path / "t", chat=True)
    return tmp_path / "m"


def test_a_directory_becomes_a_model_that_ends_as_it_says(directory):
    model = open_native(directory, dtype=torch.float32)
    specials = TOKENIZER.specials
    assert model.tokenizer.end_ids == (specials["<|im_end|>"], specials["<|endoftext|>"])
    assert model.name == str(directory) and len(model.digest) == 64
    ((_, found),) = model.loglikelihood([LoglikelihoodRequest("a", " b")])
    assert found.tokens == len(TOKENIZER.encode("a b")) - 1
    assert "dtype:float32|context:256" in model.signature
    rough = open_native(directory, dtype=torch.bfloat16)
    assert "dtype:bfloat16" in rough.signature
    ((_, other),) = rough.loglikelihood([LoglikelihoodRequest("a", " b")])
    assert other.logprob == pytest.approx(found.logprob, rel=0.05)
    assert dict(rough.complete(["a b"], StopCriteria(Sampling(max_tokens=3))))[0].tokens <= 3


def test_the_digest_is_of_what_decides_the_answers(directory):
    before = model_digest(directory)
    (directory / "notes.txt").write_text("nothing")
    assert model_digest(directory) == before
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": 3}))
    assert model_digest(directory) != before
    assert read_end_ids(directory, 400) == [3] and read_end_ids(directory, 2) == []


def test_a_chat_needs_the_directory_s_own_template(directory):
    talk = (Message("user", "Why?"),)
    model = open_native(directory, chat=True)
    assert "<|im_start|>user" in model.render(talk)
    assert model.render(talk).endswith("<|im_start|>assistant\n")
    assert f"|template:{template_digest()[:12]}" in model.signature
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(ArtifactError, match="not the chat format that groundup renders"):
        open_native(directory, chat=True)
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat_template.jinja"):
        open_native(directory, chat=True).render(talk)


def test_another_models_template_is_used_and_read_as_tokens(tmp_path):
    tokenizer = bytes_with_turns(chat_template=TURNS)
    directory = directory_of(tmp_path / "theirs", tokenizer, ends=[1])
    talk = (Message("user", "Why <stop>?"),)
    model = open_native(directory, chat=True)
    shown = model.render(talk)
    assert shown == "<|begin|><turn>user\nWhy <stop>?<stop>\n<turn>assistant\n"
    assert f"|template:{template_digest(TURNS)[:12]}" in model.signature
    ids = model.tokenizer.encode(shown)
    specials = tokenizer.specials
    assert ids.count(specials["<turn>"]) == 2 and ids.count(specials["<stop>"]) == 2
    assert ids.count(0) == 1, "the template's own <|begin|>, and no second one"
    assert model.tokenizer.encode("Why?")[0] == 0 and 0 not in model.tokenizer.encode(
        "Why?", add_special_tokens=False
    )
    typed = (Message("user", "Why?"),)
    rendered = ChatTemplate.from_tokenizer(tokenizer).ids(typed, add_generation_prompt=True)
    assert model.tokenizer.encode(model.render(typed)) == rendered
    assert open_native(directory).tokenizer.encode("<stop>").count(specials["<stop>"]) == 0


@pytest.mark.parametrize("adds", [True, False])
def test_a_bos_stands_for_an_empty_context_though_texts_do_not_begin_with_it(tmp_path, adds):
    """As in lm-eval, whose prefix is the tokenizer's bos, or its eos where it has none."""
    tokenizer = bytes_with_turns(add_bos_token=adds)
    model = open_native(directory_of(tmp_path / "theirs", tokenizer, ends=[1]))
    roles = tokenizer.role_ids
    assert model.tokenizer.context_start_id == roles["bos"] != roles["eos"]
    assert (model.tokenizer.encode("Why?")[0] == roles["bos"]) == adds
    if importlib.util.find_spec("transformers"):
        assert (
            open_hf(tmp_path / "theirs").tokenizer.context_start_id
            == model.tokenizer.context_start_id
        )
    none = ImportedTokenizer(tokenizer.content, {"eos_token": "<stop>", "add_bos_token": False})
    other = open_native(directory_of(tmp_path / "none", none, ends=[1]))
    assert other.tokenizer.context_start_id == none.role_ids["eos"] != 1


def test_a_template_in_the_tokenizers_settings_counts(tmp_path):
    tokenizer = bytes_with_turns(chat_template=TURNS)
    directory = directory_of(tmp_path / "theirs", tokenizer)
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat_template.jinja"):
        open_native(directory, chat=True).render((Message("user", "Why?"),))
    file = directory / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": TURNS}))
    assert "<turn>user" in open_native(directory, chat=True).render((Message("user", "Why?"),))
    assert Engine.open(directory).template.source == TURNS


def test_a_tokenizer_of_another_model_is_refused(directory, tmp_path):
    save_tokenizer(FastTokenizer([], specials=[f"<{n}>" for n in range(300)]), directory)
    with pytest.raises(ArtifactError, match="use the tokenizer that the model was trained with"):
        open_native(directory)


def test_rows_that_branch_leave_the_old_state_as_it_was():
    model = NativeModel(tiny())
    with torch.no_grad():
        ids = torch.randint(64, (1, 9))
        state = model.begin(1, 20)
        model.extend(state, ids[:, :4], torch.tensor([4]))
        for _ in range(2):  # the second time finds nothing of the first
            twigs = model.branch(state, torch.tensor([0, 0]))
            hidden = model.extend(twigs, ids[:, 4:].expand(2, 5), torch.tensor([5, 5]))
            torch.testing.assert_close(hidden[1], model.forward(ids)[0, 4:])
        assert state.cache.length == 4
