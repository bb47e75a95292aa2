"""Vectors of runs, and answers in other words, by an encoder in which some words mean the same."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, ConfigError, Hit, child
from groundup.documents import read_bytes
from groundup.model import Head, HeadConfig, ModelWithHead, Transformer, save_with_head
from groundup.retrieve import (
    ChunkConfig,
    IndexConfig,
    answer_question,
    answer_to_json,
    answer_to_text,
    chunk_document,
    index,
    index_or_explain,
    open_index,
)
from groundup.retrieve.answers.passages import find_passages
from groundup.retrieve.chunks.passage_text import PassageText
from groundup.retrieve.encoders import meaning, vectors
from groundup.retrieve.encoders.meaning import FEATURES, Decision, decision, fused_hits
from groundup.retrieve.encoders.vectors import open_vectors, runs_of
from groundup.retrieve.models import (
    VECTORS,
    TextEncoderConfig,
    files_digest,
    with_digest,
)
from tests.model.families.bert_gpt import encoder as bert_config

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SAME = {"furnace": "boiler", "hot": "warm", "dwelling": "house"}
OTHERS = "what stands where does the in is old a"
FILES = {
    "heating.md": "# Heating\n\nThe boiler warms the house. It stands in the cellar.\n",
    "garden.md": "# Garden\n\nThe roses are red. The pond is small. Ducks swim there daily.\n",
    "kitchen.md": "# Kitchen\n\nBread is baked on friday. The oven is old. Flour lies below.\n",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The directory of an encoder that adds up its words; the words of SAME have one vector."""
    return write_encoder(tmp_path_factory.mktemp("encoder"), seed=0)


def write_encoder(folder, seed):
    """Write an encoder whose layers add nothing to the mean of random vectors of words."""
    texts = " ".join(
        [*FILES.values(), *SAME, *SAME.values(), "what stands where does the in is old a"]
    )
    words = [*SPECIAL, *sorted(set(re.findall(r"\w+|[^\w\s]", texts.lower())))]
    base = bert_config(vocab_size=len(words), context_length=64)
    model = Transformer(base, seed=1).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        table = torch.randn(len(words), 8, generator=torch.Generator().manual_seed(seed))
        for word, other in SAME.items():
            table[words.index(word)] = table[words.index(other)]
        model.embed_tokens.weight.copy_(table)
    head = HeadConfig(kind="embedding", pooling="mean")
    save_with_head(ModelWithHead(model, Head(head, 8)), folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in FILES.items():
        (docs / name).write_text(text)
    return docs


def config_of(encoder, **settings):
    return IndexConfig(encoder=TextEncoderConfig(path=str(encoder), **settings))


def test_runs_cover_every_sentence_and_cross_no_title():
    text = "# A\n\n" + " ".join(f"Sentence {n}." for n in range(8)) + "\n\n## B\n\nLast one.\n"
    document = read_bytes(text.encode(), "a.md")
    whole = ChunkConfig(min_characters=1_000)  # both sections are one passage
    for passage in chunk_document(document, whole):
        assert "## B" in passage.text
        found = PassageText(Hit(passage, 1.0), document)
        runs = list(runs_of(found))
        covered = {at for run in runs for at in range(run.start, run.end)}
        prose = [unit for unit in found.units if unit.kind != "heading"]
        assert all(covered.issuperset(range(unit.start, unit.end)) for unit in prose)
        assert not any("## B" in passage.text[run.start : run.end] for run in runs)
        assert all(run.end - run.start <= 600 for run in runs)


def test_a_question_by_meaning_needs_no_torch(folder, encoder, tmp_path):
    index(folder, tmp_path / "i", config_of(encoder))
    script = (
        "import sys; from groundup.retrieve import ask; from pathlib import Path; "
        "found = ask('Does the furnace stand in the dwelling?', Path(sys.argv[1])); "
        "print('related' in found.details or 'meaning' in found.details, 'torch' in sys.modules)"
    )
    command = child.python_command("-c", script, str(tmp_path / "i"))
    done = subprocess.run(command, env=child.python_environment(), capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr


def test_other_words_find_the_nearest_place_and_only_where_words_refuse(
    folder, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    index(folder, tmp_path / "i", config_of(encoder))
    opened = open_index(tmp_path / "i")
    answer = answer_question(opened, "Does the furnace stand in the dwelling?")
    quote = answer.claims[0].quotes[0]
    assert quote.path == "heating.md" and answer.details["meaning"] >= 0.5
    data = (folder / "heating.md").read_bytes()
    assert data[quote.start : quote.end].decode() == quote.text
    assert "found by meaning" in answer_to_text(answer)
    assert answer_to_json(answer)["meaning"] == answer.details["meaning"]
    plain = answer_question(opened, "What does the boiler warm?")
    assert not plain.refused and "meaning" not in plain.details
    assert "encoder" not in open_index(tmp_path / "i").__dict__, "read when it is needed"


def test_a_place_that_says_the_opposite_is_no_answer(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    (folder / "heating.md").write_text("The boiler warms the house at most to its maximum.\n")
    index(folder, tmp_path / "i", config_of(encoder))
    opened = open_index(tmp_path / "i")
    assert answer_question(opened, "Does the furnace warm the minimum of the dwelling?").refused
    assert not answer_question(opened, "Does the furnace warm the dwelling?").refused


def test_an_unlikely_place_is_shown_and_not_claimed(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(meaning, "decision", lambda: always(-9.0))
    index(folder, tmp_path / "i", config_of(encoder))
    answer = answer_question(open_index(tmp_path / "i"), "Does the furnace stand in the dwelling?")
    assert answer.refused and not answer.claims
    assert answer.details["related"]["path"] == "heating.md"
    assert "nearest by meaning is heating.md" in answer_to_text(answer)


def test_documents_in_a_language_that_the_encoder_lacks_are_led_to_and_not_quoted(
    folder, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    index(folder, tmp_path / "i", config_of(encoder, languages=("german",)))
    answer = answer_question(open_index(tmp_path / "i"), "Does the furnace stand in the dwelling?")
    assert answer.refused and "meaning" not in answer.details
    assert answer.details["related"]["path"] == "heating.md"


def test_words_and_vectors_are_fused_for_a_model_that_answers(folder, encoder, tmp_path):
    index(folder, tmp_path / "i", config_of(encoder))
    opened, asked = open_index(tmp_path / "i"), "Is the hot furnace old?"
    hits = opened.best_hits(asked, opened.parse(asked), 9)
    paths = [hit.passage.path for hit in fused_hits(opened, asked, hits, 9)]
    assert [hit.passage.path for hit in hits] == ["kitchen.md"]  # "old"
    assert paths[:2] == ["kitchen.md", "heating.md"] and len(paths) == len(set(paths)) == 3
    fused = fused_hits(opened, asked, hits, 9)
    assert (
        fused[0].score > 1 > fused[1].score > 0 and fused_hits(opened, asked, hits, 1) == fused[:1]
    )
    assert find_passages(opened, asked, 12) == fused
    without = open_index(index(folder, tmp_path / "plain").path)
    assert find_passages(without, asked, 12) == hits


def test_without_its_encoder_a_model_is_given_what_words_find(folder, encoder, tmp_path):
    copy = shutil.copytree(encoder, tmp_path / "copy")
    index(folder, tmp_path / "i", config_of(copy))
    shutil.rmtree(copy)
    opened, asked = open_index(tmp_path / "i"), "Is the hot furnace old?"
    assert [hit.passage.path for hit in find_passages(opened, asked, 12)] == ["kitchen.md"]


def always(intercept):
    """A decision that sees no feature."""
    size = len(FEATURES)
    return Decision(np.zeros(size), np.ones(size), np.zeros(size), intercept, 0.3)


def test_an_update_encodes_what_is_new(folder, encoder, tmp_path):
    first = index(folder, tmp_path / "i", config_of(encoder))
    assert first.numbers["encoded"] == first.numbers["runs"] == 3
    (folder / "garden.md").write_text("# Garden\n\nThe roses are old.\n")
    second = index(folder, tmp_path / "i", config_of(encoder))
    assert second.numbers["encoded"] == 1 and second.numbers["runs"] == 3
    fresh = index(folder, tmp_path / "other", config_of(encoder))
    for name in VECTORS:
        assert second.file(name).read_bytes() == fresh.file(name).read_bytes()


def test_a_killed_run_goes_on_from_its_blocks(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "BLOCK", 1)
    real, calls = vectors.unit_rows, []

    def dies_at_the_third(rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise SystemExit(9)
        return real(rows)

    monkeypatch.setattr(vectors, "unit_rows", dies_at_the_third)
    with pytest.raises(SystemExit):
        index(folder, tmp_path / "i", config_of(encoder))
    made = index(folder, tmp_path / "i", config_of(encoder))
    assert made.numbers["encoded"] == 1 and len(calls) == 4
    whole = index(folder, tmp_path / "other", config_of(encoder))
    for name in VECTORS:
        assert made.file(name).read_bytes() == whole.file(name).read_bytes()


def test_vectors_are_those_of_the_encoder_and_search_is_exact(folder, encoder, tmp_path):
    index(folder, tmp_path / "i", config_of(encoder, passage_prefix="a "))
    opened = open_index(tmp_path / "i")
    found, model = opened.vectors, opened.encoder
    assert found.config.passage_prefix == "a " and len(found.rows) == len(found.runs)
    document = read_bytes(FILES["garden.md"].encode(), "garden.md")
    texts = [r.text for p in chunk_document(document) for r in runs_of(passage_text(p, document))]
    row = next(i for i, run in enumerate(found.runs) if "garden" in opened.lexical.passage(
        run.passage).path)  # fmt: skip
    expected = model.embed(["a " + texts[0]])[0]
    assert np.allclose(found.matrix[row].astype(np.float32), expected, atol=2e-3)
    near = found.nearest(expected, 2)
    assert near.runs[0] == found.runs[row] and near.cosines[0] >= near.cosines[1]
    assert near.mean == pytest.approx(float((found.matrix.astype(np.float32) @ expected).mean()))


def passage_text(passage, document):
    return PassageText(Hit(passage, 1.0), document)


def test_places_of_some_documents_alone_are_found(folder, encoder, tmp_path):
    opened = open_index(index(folder, tmp_path / "i", config_of(encoder)).path)
    vectors, documents = opened.vectors, list(opened.entries)[:1]
    near = vectors.nearest(np.asarray(vectors.matrix[0], np.float32), 99, documents)
    inside = [run for run in vectors.runs if run.passage.startswith(documents[0])]
    assert sorted(near.runs) == sorted(inside) and len(near.cosines) == len(inside)
    assert vectors.nearest(np.asarray(vectors.matrix[0], np.float32), 9, ["none"]).runs == []


def test_prefixes_are_the_directorys_unless_given(tmp_path):
    model = write_encoder(tmp_path / "model", seed=0)
    prompts = {"prompts": {"query": "ask: ", "document": "read: "}, "default_prompt_name": None}
    (model / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    found = with_digest(TextEncoderConfig(path=str(model), passage_prefix="own: "))
    assert (found.query_prefix, found.passage_prefix) == ("ask: ", "own: ")
    prompts = {"prompts": {"q": "say: "}, "default_prompt_name": "q"}
    (model / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    found = with_digest(TextEncoderConfig(path=str(model)))
    assert (found.query_prefix, found.passage_prefix) == ("say: ", "say: ")
    assert vectors.open_encoder(found).prompt == "", "it is no prefix twice"
    (model / "config_sentence_transformers.json").write_text("[")
    with pytest.raises(ConfigError, match=r"config_sentence_transformers.json is damaged"):
        with_digest(TextEncoderConfig(path=str(model)))


def test_another_encoder_is_refused_with_both_digests(folder, tmp_path):
    model = write_encoder(tmp_path / "model", seed=0)
    made = index(folder, tmp_path / "i", config_of(model))
    before = made.config["encoder"]["digest"]
    write_encoder(model, seed=1)
    after = files_digest(model)
    opened = open_index(tmp_path / "i")
    refused = answer_question(opened, "Does the furnace stand in the dwelling?")
    assert refused.refused, "words alone decide then"
    assert re.search(f"{before[:12]}.*{after[:12]}", refused.details["note"])
    assert "heating.md" in answer_question(opened, "What warms the house?").claims[0].quotes[0].path
    again = index(folder, tmp_path / "i", config_of(model))
    assert again.numbers["encoded"] == 3 and again.id != made.id
    shutil.rmtree(model)
    gone = answer_question(open_index(tmp_path / "i"), "Does the furnace stand in the dwelling?")
    assert gone.refused and "There is no directory" in gone.details["note"]


def test_damaged_vectors_are_named_and_made_anew(folder, encoder, tmp_path):
    made = index(folder, tmp_path / "i", config_of(encoder))
    path = made.file("vectors.keys")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"vectors in .* are damaged"):
        open_vectors(made.path)
    (folder / "garden.md").write_text("# Garden\n\nThe roses are old.\n")
    assert index(folder, tmp_path / "i", config_of(encoder)).numbers["encoded"] == 3


def test_passages_are_split_where_the_meaning_changes(folder, encoder, tmp_path):
    chunk = ChunkConfig(strategy="semantic", percentile=20, min_characters=0)
    made = index(folder, tmp_path / "i", config_of(encoder).model_copy(update={"chunk": chunk}))
    whole = index(folder, tmp_path / "j", config_of(encoder))
    assert made.numbers["passages"] > whole.numbers["passages"]
    assert made.numbers["indexed_characters"] == made.numbers["text_characters"]
    other = write_encoder(tmp_path / "other", seed=5)
    config = config_of(other).model_copy(update={"chunk": chunk})
    again, fresh = (index(folder, tmp_path / name, config) for name in ("i", "k"))
    assert (
        again.file("lexical/meta.json").read_bytes() == fresh.file("lexical/meta.json").read_bytes()
    )


def test_sizes_of_passages_by_meaning_are_compared_with_the_encoder(folder, encoder, tmp_path):
    questions, asked = tmp_path / "mine.jsonl", list[str]()
    for number in range(12):
        words = " ".join(f"word{number}{letter}" for letter in "abcdefghi")
        (folder / f"{number}.md").write_text(f"The pond has {words}. Ducks swim there daily.\n")
        asked.append(json.dumps({"question": f"Which pond has {words}?", "answers": [words]}))
    questions.write_text("\n".join(asked))
    made = index_or_explain(
        folder, tmp_path / "i", encoder=encoder, tune=True, strategies=["semantic"],
        questions=[questions],
    )  # fmt: skip
    assert made.config["chunk"]["strategy"] == "semantic" and made.numbers["runs"] > 12


def test_an_encoder_without_finite_vectors_is_an_error(folder, tmp_path, monkeypatch):
    model = write_encoder(tmp_path / "model", seed=0)
    monkeypatch.setattr(
        "groundup.model.TextEncoder.embed", lambda self, texts: np.full((len(texts), 8), np.nan)
    )
    with pytest.raises(ArtifactError, match="not finite"):
        index(folder, tmp_path / "i", config_of(model))


def test_without_an_encoder_nothing_changes_and_a_missing_one_is_an_error(folder, tmp_path):
    made = index(folder, tmp_path / "i")
    assert open_vectors(made.path) is None and "runs" not in made.numbers
    with pytest.raises(ConfigError, match="There is no directory .*nowhere"):
        index_or_explain(folder, tmp_path / "j", encoder=tmp_path / "nowhere")


def test_the_decision_is_a_logistic_function_of_named_features():
    found = decision()
    assert len(found.weights) == len(FEATURES) and 0 < found.threshold < 1
    at_the_mean = found.probability(tuple(found.means.tolist()))
    assert at_the_mean == pytest.approx(1 / (1 + np.exp(-found.intercept)))
    path = meaning.Path(meaning.__file__).with_name("decision.json")
    names = [row["name"] for row in json.loads(path.read_text())["features"]]
    assert tuple(names) == FEATURES
    further = found.means.astype(float)
    further[0] += found.deviations[0]
    assert (found.probability(tuple(further.tolist())) > at_the_mean) == (found.weights[0] > 0)
