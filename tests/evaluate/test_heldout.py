"""A report names the weights it scored, its number is that of its documents, and looks count."""

import json
from pathlib import Path

import pytest

from groundup.core import Artifact, Config, ConfigError, DataError, produce
from groundup.evaluate import EvaluateConfig, bits_per_byte, evaluate, read_scores, score_documents
from groundup.measure import candidates
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, load, save
from groundup.tokenizer import FastTokenizer, Text, write_tokens
from groundup.tokenizer import save as save_tokenizer

SHORT = EvaluateConfig(window=16)
SIZES = (63, 5, 36)


class Seed(Config):
    """What tells the test's models apart."""

    seed: int = 0
    """Of the weights."""


def tokens_of(texts: list[str], out: Path, tokenizer: FastTokenizer) -> Artifact:
    rows = [Text(f"{number}.md", text) for number, text in enumerate(texts)]
    return produce(
        out, kind="tokens", stage="tokens", version=1, config=Seed(), parents={},
        write=lambda draft: write_tokens(
            draft, tokenizer, {"train": rows[:1], "validation": rows[:2], "test": rows}
        ),
    )  # fmt: skip


def model_of(seed: int, out: Path, tokenizer: FastTokenizer) -> Artifact:
    model = Transformer(
        ModelConfig(
            vocab_size=tokenizer.vocab_size, width=16, layers=1, context_length=32,
            attention=AttentionConfig(heads=2, kv_heads=1, head_dim=8),
            feedforward=FeedForwardConfig(width=16),
        ),
        seed,
    )  # fmt: skip
    save_tokenizer(tokenizer, out.with_suffix(".tokenizer"))
    return produce(
        out, kind="model", stage="pretrain", version=1, config=Seed(seed=seed), parents={},
        write=lambda draft: save(model, draft.path, out.with_suffix(".tokenizer")),
    )  # fmt: skip


@pytest.fixture
def tokenizer() -> FastTokenizer:
    return FastTokenizer([])


@pytest.fixture
def tokens(tmp_path: Path, tokenizer: FastTokenizer) -> Artifact:
    return tokens_of(["naïve " * 9, "short", "another one\n" * 3], tmp_path / "tokens", tokenizer)


def test_the_report_is_of_its_documents_and_names_its_weights(tmp_path, tokens, tokenizer):
    model = model_of(0, tmp_path / "m", tokenizer)
    report = evaluate(SHORT, model, tokens, tmp_path / "r")
    told = json.loads(report.file("report.json").read_text())
    scores = read_scores(Artifact.open(report.path, "report"))
    assert told["bits_per_byte"] == bits_per_byte(scores)._asdict()
    assert (told["model"], told["tokens"]) == (model.id, tokens.id)
    assert told["weights"] == {"model.safetensors": model.files["model.safetensors"]["sha256"]}
    assert told["signature"] == scores[0].signature
    assert report.numbers["bits per byte"] == told["bits_per_byte"]["estimate"]
    ids = [tokenizer.encode(text) for text in ("naïve " * 9, "short", "another one\n" * 3)]
    end = tokenizer.specials["<|endoftext|>"]
    documents = [(f"{n}.md", [*row, end], SIZES[n]) for n, row in enumerate(ids)]
    expected = score_documents(load(model.path), documents, bos=end, window=16)
    assert scores == expected


def test_scoring_the_test_split_is_a_look_and_again_is_none(tmp_path, tokens, tokenizer):
    one, two = (model_of(seed, tmp_path / f"m{seed}", tokenizer) for seed in (0, 1))
    evaluate(EvaluateConfig(split="validation", window=16), one, tokens, tmp_path / "v")
    assert candidates(tokens) == []
    for model, out in ((one, "r1"), (two, "r2"), (one, "r1")):
        evaluate(SHORT, model, tokens, tmp_path / out)
    assert candidates(tokens) == [one.id, two.id]
    assert Artifact.open(tokens.path).id == tokens.id


def test_one_document_is_reported_as_undefined(tmp_path, tokens, tokenizer):
    model = model_of(0, tmp_path / "m", tokenizer)
    config = EvaluateConfig(split="train", window=16)
    report = evaluate(config, model, tokens, tmp_path / "r")
    told = json.loads(report.file("report.json").read_text())
    assert told["bits_per_byte"] is None and told["undefined"]["code"] == "too_few_groups"
    assert "at least 2" in report.numbers["undefined"]


def test_what_does_not_fit_says_why(tmp_path, tokens, tokenizer):
    model = model_of(0, tmp_path / "m", tokenizer)
    with pytest.raises(ConfigError, match="window=64 does not fit.*set window=32"):
        evaluate(EvaluateConfig(window=64), model, tokens, tmp_path / "a")
    with pytest.raises(DataError, match="no split 'dev'"):
        evaluate(EvaluateConfig(split="dev"), model, tokens, tmp_path / "b")
    other = FastTokenizer([(b"a", b"b")])
    with pytest.raises(ConfigError, match="was made with tokenizer"):
        evaluate(SHORT, model, tokens_of(["ab"], tmp_path / "o", other), tmp_path / "c")
