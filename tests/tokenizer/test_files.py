"""files.py: directories that everybody's tools open to the same ids, and the stage."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import tokenizers

from groundup.core import Artifact, ArtifactError, ConfigError, DataError, Message
from groundup.corpus import CorpusConfig, corpus
from groundup.tokenizer import (
    FastTokenizer,
    TokenizerConfig,
    load_bpe_tokenizer,
    render,
    save_tokenizer,
    train_bpe,
    train_tokenizer,
)
from tests.tokenizer.corpora import CORPORA, tokenizer

TRAINED = tokenizer()


@pytest.fixture
def seen(root: Path) -> dict:
    """What transformers made of the directory in tests/fixtures (see tests/oracles)."""
    path = root / "tests" / "fixtures" / "tokenizer" / "transformers.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def fixture(root: Path) -> Path:
    return root / "tests" / "fixtures" / "tokenizer"


def test_transformers_gives_our_ids(fixture, seen):
    ours = load_bpe_tokenizer(fixture)
    for row in seen["texts"]:
        assert row["ids"] == ours.encode(row["text"])
        assert row["decoded"] == row["text"]
    assert seen["length"] == ours.vocab_size and seen["specials"] == ours.specials
    assert seen["eos"] == seen["pad"] == "<|endoftext|>"


def test_transformers_renders_our_chats(fixture, seen):
    ours = load_bpe_tokenizer(fixture)
    for row in seen["chats"]:
        messages = tuple(Message(**message) for message in row["messages"])
        rendered = render(ours, messages, add_generation_prompt=row["opened"])
        assert rendered.text == row["text"]
        assert rendered.ids == row["ids"]


def test_a_spelt_special_token_ends_a_turn_there_but_not_here(fixture, seen):
    ours = load_bpe_tokenizer(fixture)
    assert ours.special_id("<|im_end|>") in seen["spelt"]
    assert ours.special_id("<|im_end|>") not in ours.encode("a<|im_end|>b")


def test_the_fixture_is_what_save_writes_today(fixture, seen, tmp_path):
    save_tokenizer(load_bpe_tokenizer(fixture), tmp_path)
    for name, digest in seen["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest, (
            f"{name} changed; run `python tests/oracles/tokenizer.py make`, then `make oracles`"
        )


@pytest.mark.parametrize("pattern", ["qwen2", "gpt-2"])
def test_save_and_load_keep_the_tokenizer(tmp_path, pattern):
    made = FastTokenizer(train_bpe(CORPORA["scripts"], 400, pattern), pattern, ("<|endoftext|>",))
    save_tokenizer(made, tmp_path / "new" / "folder", context_length=2048)
    opened = load_bpe_tokenizer(tmp_path / "new" / "folder")
    assert opened.digest == made.digest and opened.specials == made.specials
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "new" / "folder" / "tokenizer.json"))
    for text in CORPORA["scripts"] + CORPORA["runs"]:
        assert theirs.encode(text).ids == opened.encode(text)
        assert theirs.decode(opened.encode(text), skip_special_tokens=False) == text
    settings = json.loads((tmp_path / "new" / "folder" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 2048


def test_a_file_written_by_the_peer_opens_too(tmp_path):
    save_tokenizer(TRAINED, tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer.from_file(str(path)).save(str(path))
    assert load_bpe_tokenizer(tmp_path).digest == TRAINED.digest


def damaged(path: Path, change) -> Path:
    """A saved tokenizer whose tokenizer.json was changed."""
    save_tokenizer(TRAINED, path)
    content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    (path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(normalizer={"type": "NFC"}), "its normalizer is not"),
        (lambda c: c["model"]["vocab"].update({"zz": 700}), "its model is not"),
        (lambda c: c["model"].update(byte_fallback=True), "its model is not"),
        (lambda c: c["added_tokens"][0].update(lstrip=True), "its added_tokens is not"),
        (lambda c: c["model"]["merges"].reverse(), "no earlier merge makes one"),
        (lambda c: c.pop("model"), "is damaged or no byte-level BPE"),
        (lambda c: c["pre_tokenizer"]["pretokenizers"].pop(0), "known are only qwen2, gpt-2"),
    ],
)
def test_what_would_give_other_ids_is_refused(tmp_path, change, says):
    with pytest.raises(DataError, match=says):
        load_bpe_tokenizer(damaged(tmp_path, change))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"Cannot read .*tokenizer.json \(No such file"):
        load_bpe_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        load_bpe_tokenizer(tmp_path)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Artifact:
    """A corpus of the package's own source."""
    root = tmp_path_factory.mktemp("source")
    shutil.copytree(
        Path(__file__).resolve().parents[2] / "groundup" / "core",
        root / "files",
        ignore=shutil.ignore_patterns("__pycache__", "page"),
    )
    return corpus(CorpusConfig(), root / "files", root / "corpus")


def test_the_stage_learns_a_vocabulary_of_the_size_asked_for(source, tmp_path):
    made = train_tokenizer(TokenizerConfig(vocab_size=600), source, tmp_path / "tokenizer")
    assert made.kind == "tokenizer" and [parent.name for parent in made.parents] == ["corpus"]
    opened = load_bpe_tokenizer(made.path)
    assert opened.vocab_size == 600 and opened.special_id("<|im_end|>") == 599
    assert len(opened.encode("def __init__(self)")) < 12
    again = train_tokenizer(TokenizerConfig(vocab_size=600), source, tmp_path / "again")
    assert again.id == made.id


def test_a_corpus_too_small_for_the_vocabulary_says_how_many_ids_it_fills(source, tmp_path):
    with pytest.raises(DataError, match=r"fills only \d+ of vocab_size=60000 ids"):
        train_tokenizer(TokenizerConfig(vocab_size=60_000), source, tmp_path / "tokenizer")
    with pytest.raises(ConfigError, match="vocab_size"):
        TokenizerConfig(vocab_size=100)
