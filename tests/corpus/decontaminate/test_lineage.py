"""What was trained on is found by document, by words and by likeness, through the lineage."""

import json
import shutil

import pytest

from groundup.core import Config, DataError, Message, Sample, produce, write_text
from groundup.corpus import CorpusConfig, corpus, read_split
from groundup.corpus.decontaminate.lineage import (
    TrainingText,
    _compare_samples,
    _training_sources,
    find_contamination,
)

SECRET = "the seventh lamp behind the western gate burns only when the great tide comes in at night"
TIDE = "Which tide makes the old lamp burn at night?"


def sample(name, question, *references, **metadata):
    return Sample(name, (Message("user", question),), references, metadata=metadata)


@pytest.fixture
def trained(tmp_path):
    """A corpus, a model made from it, and one sample a way of overlapping, with two clean ones."""
    root = tmp_path / "pages"
    root.mkdir()
    for number in range(30):
        words = " ".join(f"w{number * k % 101}" for k in range(1, 80))
        (root / f"{number:02d}.md").write_text(f"Page {number}. {words}\n", encoding="utf-8")
    (root / "lamp.md").write_text(f"It is told that {SECRET}, and so it was.\n", encoding="utf-8")
    made = corpus(CorpusConfig(held_out_limit=1), root, tmp_path / "corpus")
    examples = produce(
        tmp_path / "examples", kind="examples", stage="examples", version=1, config=Config(),
        parents={"corpus": made},
        write=lambda draft: write_text(draft.file("train.jsonl"), json.dumps(
            {"messages": [{"role": "user", "content": TIDE}]}
        ) + "\n"),
    )  # fmt: skip
    model = produce(
        tmp_path / "model", kind="model", stage="tune", version=1, config=Config(),
        parents={"examples": examples}, write=lambda draft: write_text(draft.file("w"), "0"),
    )  # fmt: skip
    return tmp_path, made, model


def test_every_way_of_overlapping_is_found_through_the_lineage(trained):
    _, made, model = trained
    document = next(iter(read_split(made, "train")))
    samples = [
        sample("copied", "What is told of the lamp?", SECRET),
        sample("near", TIDE, "the great one"),
        sample("document", "What?", "this", document=document.path, sha256=document.sha256),
        sample(
            "clean", "Who wrote the book on bees that nobody in this town has ever read?", "Ana"
        ),
        sample("short", "Who?", "Ben"),
    ]
    found = find_contamination(samples, model)
    # the near one is so short that its words stand in the example too
    assert {(one.sample, one.kind) for one in found.overlaps} == {
        ("copied", "copied"), ("near", "near"), ("near", "copied"), ("document", "document"),
    }  # fmt: skip
    assert found.texts == made.numbers["documents"]["train"] + 1
    assert found.too_short == 2 and found.unread == ()
    assert "lamp.md" in str(found) and "2 samples are too short" in str(found)


def test_a_changed_document_is_another_document(trained):
    _, made, _ = trained
    document = next(iter(read_split(made, "train")))
    other = sample("1", "What?", "this", document=document.path, sha256="0" * 64)
    assert not find_contamination([other], made).overlaps


def test_ancestors_that_are_gone_are_named_and_foreign_ones_refused(trained):
    home, made, model = trained
    shutil.rmtree(made.path)
    found = find_contamination([sample("1", "What?")], model)
    assert found.unread == ("corpus ../corpus",) and "missing: corpus" in str(found)
    shutil.rmtree(home / "examples")
    with pytest.raises(DataError, match="neither a corpus nor examples .* missing: examples"):
        find_contamination([sample("1", "What?")], model)


def test_another_artifact_at_an_ancestor_s_place_is_not_read_for_it(trained):
    home, made, model = trained
    shutil.rmtree(made.path)
    corpus(CorpusConfig(seed=5), home / "pages", made.path)
    sources, missing = _training_sources(model)
    assert [one.kind for one in sources] == ["examples"]
    assert missing == ["corpus ../corpus"]


def test_damaged_examples_are_told_by_line(trained):
    home, _, model = trained
    sources, _ = _training_sources(model)
    (home / "examples" / "train.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="line 1 is not an example"):
        list(_compare_samples([], (t for s in sources for t in texts(s))).overlaps)


def texts(source):
    from groundup.corpus.decontaminate.lineage import _read_training_texts

    return _read_training_texts(source)


def test_words_across_punctuation_and_case_count_as_the_same():
    shouted = TrainingText("notes", SECRET.upper().replace(" ", ", "))
    assert _compare_samples([sample("1", "What?", SECRET)], [shouted]).overlaps[0].kind == "copied"
    assert not _compare_samples(
        [sample("1", "What?", SECRET)], [TrainingText("notes", SECRET[:40])]
    ).overlaps
