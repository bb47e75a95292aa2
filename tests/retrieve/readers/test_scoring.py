"""A scorer gives two texts one number; its files are those of sequence classification."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groundup.core import ArtifactError, ConfigError, record
from groundup.evaluate.grounding.scorers import Critic
from groundup.evaluate.grounding.verb import open_critic
from groundup.model import (
    Head,
    ModelWithHead,
    Transformer,
    load_with_head,
    preset,
    save_with_head,
)
from groundup.retrieve import check_claim, check_text, index_or_explain, open_index
from groundup.retrieve.readers import encoding
from groundup.retrieve.readers.encoding import STRIDE, TIMED_BATCH
from groundup.retrieve.readers.scoring import PairScorer
from groundup.retrieve.readers.spans import SpanReader
from groundup.retrieve.verification import texts as verification
from tests.retrieve.encoders.small import write_base

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "heads" / "bert_number"
TEXTS = [("who", "a cat sat"), ("who", "the dog ran over the hill and was gone"), ("what", "")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def scorer(base) -> PairScorer:
    made = PairScorer.new(base, seed=3)
    with torch.no_grad():
        drawn = torch.Generator().manual_seed(0)
        for weight in made.model.parameters():  # in new models attention adds nothing
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=drawn) / 2)
    made.model.eval()
    return made


@pytest.fixture
def directory(scorer, base, tmp_path) -> Path:
    save_with_head(scorer.model, tmp_path / "scorer", base)
    return tmp_path / "scorer"


@pytest.mark.parametrize("name, separators", [
    ("bert-tiny", 1), ("distilbert-tiny", 1), ("deberta-v3-tiny", 1), ("modernbert-tiny", 1),
    ("roberta-tiny", 2), ("xlm-roberta-tiny", 2), ("mpnet-tiny", 2),
])  # fmt: skip
def test_texts_are_parted_by_two_separators_in_robertas_kind_alone(name, separators, scorer):
    config = preset(name).config
    model = ModelWithHead(Transformer(config, seed=None), Head(PairScorer.head, config.width))
    pair = PairScorer(model, scorer.tokenizer).encode("who", "a cat sat")
    asked = scorer.tokenizer.encode("who")
    begin = [*scorer.before, *asked, *scorer.after * separators]
    assert pair.ids[: pair.first] == begin and pair.ids[-1:] == scorer.after


def test_a_pair_has_one_number_whatever_is_scored_beside_it(scorer):
    together = scorer.score(TEXTS)
    assert len({round(score, 3) for score in together}) == 3
    for text, score in zip(TEXTS, together, strict=True):
        pair = scorer.encode(*text)
        batch = scorer.batch([pair])
        assert batch.ids.shape[1] % STRIDE == 0 and batch.types is not None
        assert batch.types[0].sum() == len(pair.ids) - pair.first  # the last [SEP] is the second's
        [alone] = scorer.logits(scorer.model, batch).tolist()
        assert score == pytest.approx(alone, abs=0.1)
        assert scorer.score([text])[0] == pytest.approx(score, abs=0.1)


def test_what_is_not_reached_in_time_has_no_score(scorer, monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(encoding, "perf_counter", lambda: next(seconds))
    texts = [("who", f"a cat sat {number}") for number in range(3 * TIMED_BATCH)]
    assert scorer.score(texts, 0) == [None] * len(texts)
    scores = scorer.score(texts, 2_000)  # a batch takes a second
    assert [score is None for score in scores] == [False] * 2 * TIMED_BATCH + [True] * TIMED_BATCH
    assert None not in scorer.score(texts, 1e6)


def test_the_loss_is_the_binary_cross_entropy_of_labels(scorer):
    pairs = [scorer.encode(*TEXTS[0])._replace(label=1.0), scorer.encode(*TEXTS[1])]
    batch = scorer.batch(pairs)
    found = scorer.loss(scorer.model, batch)
    one, other = scorer.logits(scorer.model, batch).detach()
    wanted = math.log1p(math.exp(-one)) + math.log1p(math.exp(other))
    assert float(found.total.detach()) == pytest.approx(wanted, rel=1e-4) and found.weight == 2


def test_its_logits_are_those_of_transformers_classification_with_one_label(directory):
    wanted = load_file(FIXTURE / "expected.safetensors")
    model = load_with_head(FIXTURE, torch.float32)
    assert isinstance(model.head, Head) and model.head.config.kind == PairScorer.head.kind
    found = model(wanted["ids"], documents=wanted["mask"] - 1)
    torch.testing.assert_close(found, wanted["logits"][:, 0], atol=1e-5, rtol=1e-5)
    ours = json.loads((FIXTURE / "ours.json").read_text())  # what Transformers opened
    written = json.loads((directory / "config.json").read_text())
    for name in ("architectures", "id2label", "label2id"):
        assert written[name] == ours["config"][name]
    assert sorted(load_file(directory / "model.safetensors")) == ours["tensors"]


def test_transformers_gives_the_same_number(scorer, directory):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory).eval()
    batch = scorer.batch([scorer.encode(*text) for text in TEXTS])
    assert batch.documents is not None
    with torch.no_grad():
        wanted = model(batch.ids, batch.documents + 1, batch.types).logits[:, 0]
        found = scorer.logits(scorer.model, batch)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_directory_opens_and_others_do_not(scorer, directory, base, tmp_path):
    opened = PairScorer.open(directory)
    assert opened.score(TEXTS) == pytest.approx(scorer.score(TEXTS), abs=1e-3)
    save_with_head(SpanReader.new(base, 0).model, tmp_path / "reader", base)
    with pytest.raises(ArtifactError, match="holds no pair scorer; fine-tune one with"):
        PairScorer.open(tmp_path / "reader")
    with pytest.raises(ArtifactError, match="holds no extractive reader"):
        SpanReader.open(directory)


@pytest.fixture
def documents(tmp_path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, thing in enumerate(("bell", "gate", "mill", "barn")):
        text = f"The {thing} was built in 19{number}1.\n\nThe {thing} is old.\n"
        (folder / f"{thing}.md").write_text(text)
    return folder


def test_an_index_orders_what_words_find_by_its_reranker(
    documents, directory, tmp_path, monkeypatch
):
    index_or_explain(documents, tmp_path / "i", reranker=directory)
    opened = open_index(tmp_path / "i")
    question = "Which was built in 1901?"
    parsed = opened.parse(question)
    words = opened.lexical.search_terms(parsed, 9)
    hits = opened.best_hits(question, parsed, 9)
    assert opened.best_hits("", parsed, 9) == words
    assert [hit.score for hit in hits] == [hit.score for hit in words]
    pairs = [(question, hit.passage.text) for hit in hits]
    scores = opened.reranker.score(pairs)
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))
    assert {hit.passage.id for hit in hits} == {hit.passage.id for hit in words}
    assert opened.reranker.rerank(question, words, 0) == words  # nothing is reached
    reader = SpanReader.new(write_base(tmp_path / "encoder"), 0)
    save_with_head(reader.model, tmp_path / "reader", tmp_path / "encoder")
    index_or_explain(documents, tmp_path / "r", reranker=tmp_path / "reader")
    assert isinstance(open_index(tmp_path / "r").reranker, SpanReader)  # its log-odds order too
    assert reader.score([("a", "b")]) == [reader.read("a", ["b"])[0].score]
    (directory / "vocab.txt").write_text("[PAD]")
    lines = list[str]()
    monkeypatch.setattr(record, "log", lines.append)
    assert open_index(tmp_path / "i").best_hits(question, parsed, 9) == words
    assert "Not reranked: The index is for the reranker" in lines[0]
    with pytest.raises(ConfigError, match="is no reranker; fine-tune one with"):
        index_or_explain(documents, tmp_path / "j", reranker=write_base(tmp_path / "base"))


def test_a_critic_overrules_the_rules_where_it_is_sure(documents, directory, monkeypatch):
    true, false, quoted = (
        "In 1901 the bell was built.",
        "The bell is made of tin.",
        "The bell is old.",
    )
    text = f"{true} {false} {quoted}"

    def marks(rejected: float, supported: float) -> list[str]:
        monkeypatch.setattr(verification, "REJECTED", rejected)
        monkeypatch.setattr(verification, "SUPPORTED", supported)
        return [each.support for each in check_text(text, documents, str(directory)).sentences]

    assert marks(-1e9, 1e9) == ["supported", "nowhere", "quoted"]
    assert marks(1e9, 1e9) == ["nowhere", "nowhere", "quoted"]
    assert marks(-1e9, -1e9) == ["supported", "supported", "quoted"]
    critic, passage = PairScorer.open(directory), "The bell was built in 1901."
    assert check_claim(true, passage, critic=critic) == "supported"
    assert check_claim("Die Glocke ist aus dem Dorf.", "Die Glocke ist aus der Stadt und dem Tal.",
                       critic=critic) == "nowhere"  # fmt: skip


def test_grounding_takes_a_critic(directory, monkeypatch):
    from groundup.evaluate.grounding.rows import ContextPassage

    monkeypatch.setattr(verification, "REJECTED", 1e9)
    context = [ContextPassage("The bell was built in 1901.")]
    critic, claim = open_critic(str(directory)), "In 1901 the bell was built."
    assert Critic().supported(claim, context) and not critic.supported(claim, context)
    assert critic.signature.startswith("critic:rules+") and critic.signature != Critic().signature
