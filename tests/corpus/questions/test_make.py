"""Questions are deterministic, spread, split by document; what is missing is told."""

import re
import shutil
from collections import Counter
from typing import Any

import pytest

from groundup.core import ArtifactError, ConfigError, DataError, record
from groundup.corpus import CorpusConfig, corpus
from groundup.corpus.questions.make import QuestionsConfig, make_questions, read_question_documents
from groundup.corpus.split import hash_fraction, read_split
from groundup.documents import Record, read_folder
from groundup.measure import check_grounding, read_card, read_samples, read_validation

WORDS = "cache log retry queue index batch token model chunk query score store".split()
PARTS = read_samples, read_validation
VERBS = ("Read", "Write", "Copy", "Remove", "Check", "Create")


@pytest.fixture
def folder(tmp_path):
    """Twelve pages of functions, each with a default, a result, an exception and a version."""
    root = tmp_path / "pages"
    root.mkdir()
    for number, word in enumerate(WORDS):
        page = [f"<title>{word} — The {word}</title><h1>{word}</h1>"]
        for other in WORDS[number % 3 :: 3]:
            page.append(
                f"<p>{word}.{VERBS[number % 6].lower()}_{other}(path, *, size={number + 2})</p>"
                f"<p>{VERBS[number % 6]} every {other} that a {word} has in {number} files.</p>"
                f"<p>Return the number of {other} rows of {word} files.</p>"
                f"<p>If the {other} file of {word} is not there, KeyError is raised.</p>"
                f"<p>Added in version {number}.{len(other)}.</p>"
            )
        (root / f"{word}.html").write_text("".join(page), encoding="utf-8")
    return root


def made(folder, out, *, questions=60, **settings: Any):
    config = QuestionsConfig.model_validate({"share": 1.0} | settings)
    return make_questions(folder, config, out, questions=questions, exact=True)


def test_questions_are_spread_over_rules_and_documents_and_grounded(folder, tmp_path):
    testset = made(folder, tmp_path / "t")
    samples = list(read_samples(testset))
    kinds = Counter(sample.metadata["kind"] for sample in samples)
    assert len(samples) == 60 and kinds["unanswerable"] == 6
    assert {"purpose", "default", "returns", "raises", "added"} <= set(kinds)
    assert max(Counter(sample.group for sample in samples).values()) <= 8 + 6
    documents = [one for one in read_folder(folder) if isinstance(one, Record)]
    assert check_grounding(samples, documents) == []
    card = read_card(testset)
    assert card["kinds"] == dict(kinds.most_common()) and card["made"]["share"] == 1


def test_a_folder_is_read_as_it_is_indexed(folder, tmp_path, monkeypatch):
    root = tmp_path / "docs"
    shutil.copytree(folder, root)
    (root / "notes.log").write_text("12:01 pump started")
    (root / "old.txt").write_bytes("Der Löffel glänzt, die Schüssel auch.".encode("latin-1"))
    (root / "in.mbox").write_text(
        "From a@b.c Mon Jan  1 00:00:00 2024\nSubject: x\n\nTwo spoons.\n"
    )
    (root / "pic.png").write_bytes(b"\x89PNG")
    said: list[str] = []
    monkeypatch.setattr(record, "log", said.append)
    found = read_question_documents(root, QuestionsConfig())
    read = [one for one in read_folder(root) if isinstance(one, Record)]
    assert found.documents == read and said == ["left out 1 files: another kind of file 1"]
    assert {"notes.log", "old.txt", "in.mbox#36"} <= {one.path for one in read}
    assert check_grounding(read_samples(made(root, tmp_path / "t")), read) == []


def test_unanswerable_names_stand_nowhere_and_look_like_the_others(folder, tmp_path):
    samples = list(read_samples(made(folder, tmp_path / "t")))
    texts = "".join(page.read_text() for page in folder.iterdir())
    for sample in samples:
        if sample.metadata["kind"] == "unanswerable":
            name = sample.metadata["name"]
            assert sample.references == () and f"`{name}`" in sample.conversation[0].content
            assert name.rpartition(".")[2] not in texts and "_" in name


def test_the_same_folder_gives_the_same_test_set_and_another_seed_another(folder, tmp_path):
    first, again = made(folder, tmp_path / "a"), made(folder, tmp_path / "b")
    assert first.id == again.id
    assert made(folder, tmp_path / "c", seed=1).id != first.id
    assert made(folder, tmp_path / "a").id == first.id  # done already


def test_documents_are_split_as_a_corpus_splits_them(folder, tmp_path):
    testset = made(folder, tmp_path / "t", share=0.5, questions=30)
    asked = {sample.group for sample in read_samples(testset)}
    order = sorted(
        (page.name for page in folder.iterdir()), key=lambda path: hash_fraction(path, 0)
    )
    assert asked <= set(order[:6])


def test_a_corpus_is_asked_about_its_test_split(folder, tmp_path):
    source = corpus(
        CorpusConfig(test_share=0.4, near_duplicate_threshold=0), folder, tmp_path / "corpus"
    )
    testset = make_questions(source.path, QuestionsConfig(), tmp_path / "t", questions=20)
    held_out = {page.name for page in folder.iterdir() if hash_fraction(page.name, 0) < 0.4}
    assert {sample.group for sample in read_samples(testset)} <= held_out
    assert [parent.id for parent in testset.parents] == [source.id]


def test_the_validation_part_is_about_the_documents_that_follow(folder, tmp_path):
    settings: dict[str, Any] = {"share": 0.25, "validation": 0.25}
    testset = made(folder, tmp_path / "t", questions=10, **settings)
    sealed, others = ({each.group for each in read(testset)} for read in PARTS)
    order = sorted(f"{word}.html" for word in WORDS)
    order = sorted(order, key=lambda path: hash_fraction(path, 0))
    assert sealed == set(order[:3]) and others == set(order[3:6])
    kinds = {each.metadata["kind"] for each in read_validation(testset)}
    assert "purpose" in kinds and "unanswerable" not in kinds
    without = made(folder, tmp_path / "u", questions=10, share=0.25, validation=0)
    assert not list(read_validation(without))
    assert list(read_samples(without)) == list(read_samples(testset))


def test_the_validation_part_of_a_corpus_is_about_its_validation_split(folder, tmp_path):
    shares = {"test_share": 0.3, "validation_share": 0.3}
    config = CorpusConfig.model_validate(shares | {"near_duplicate_threshold": 0})
    built = corpus(config, folder, tmp_path / "corpus")
    testset = made(built.path, tmp_path / "t", questions=10)
    sealed, others = ({each.group for each in read(testset)} for read in PARTS)
    splits = {
        each.path: split for split in ("test", "validation") for each in read_split(built, split)
    }
    assert {splits[path] for path in sealed} == {"test"}
    assert {splits[path] for path in others} == {"validation"}


def test_too_few_are_made_with_a_warning_that_counts_them_by_rule(folder, tmp_path, capsys):
    with pytest.raises(DataError, match=r"Found \d+ of 5000 questions \(\w+ \d+"):
        made(folder, tmp_path / "t", questions=5000)
    assert not (tmp_path / "t").exists()
    record.set_output_mode("plain")
    try:
        testset = make_questions(folder, QuestionsConfig(), tmp_path / "t", questions=5000)
    finally:
        record.set_output_mode("silent")
    told = capsys.readouterr().err
    assert re.search(
        r"Warning: Found \d+ of 5000 questions \(\w+ \d+.*the whole collection has too few", told
    )
    samples = list(read_samples(testset))
    without = sum(not sample.references for sample in samples)
    assert 0 < without <= 0.12 * len(samples)


def test_a_small_folder_is_asked_about_where_there_is_something_to_ask(folder, tmp_path):
    """One page of twelve has entries, and it is not among those that the share takes."""
    *prose, last = sorted(folder.iterdir(), key=lambda page: hash_fraction(page.name, 0))
    for page in prose:
        page.write_text("<title>Notes</title><p>We had lunch and talked of nothing else.</p>")
    testset = make_questions(folder, QuestionsConfig(), tmp_path / "t")
    samples = list(read_samples(testset))
    assert samples and {sample.group for sample in samples} == {last.name}
    assert testset.config["made"]["share"] == 1
    with pytest.raises(DataError, match="Found 0 of 200"):
        make_questions(folder, QuestionsConfig(), tmp_path / "u", exact=True)
    last.unlink()
    with pytest.raises(DataError, match="Found 0 of 200 .*they are prose"):
        make_questions(folder, QuestionsConfig(), tmp_path / "u")


def test_the_share_that_would_do_is_told_and_none_above_one(folder, tmp_path):
    with pytest.raises(DataError, match=r"--set share=(0\.\d+|1) would do") as told:
        made(folder, tmp_path / "t", questions=40, share=0.1)
    share = float(re.search(r"share=([\d.]+)", str(told.value))[1])
    assert made(folder, tmp_path / "t", questions=40, share=share).numbers["samples"] == 40
    with pytest.raises(DataError, match="the whole collection has too few: --set per_document=N"):
        made(folder, tmp_path / "u", questions=5000, share=1)


def test_only_the_wanted_rules_are_used_and_others_are_refused(folder, tmp_path):
    samples = read_samples(
        made(folder, tmp_path / "t", questions=10, rules=("returns",), unanswerable=0)
    )
    assert {sample.metadata["kind"] for sample in samples} == {"returns"}
    with pytest.raises(ConfigError, match="no rule 'return'; the rules are purpose"):
        made(folder, tmp_path / "u", rules=("return",))
    with pytest.raises(ConfigError, match="at least 1"):
        made(folder, tmp_path / "u", questions=0)


def test_folders_without_documents_or_answers_are_told(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no documents to ask about"):
        made(empty, tmp_path / "t")
    (empty / "broken.md").write_bytes(b"a\0b")
    with pytest.raises(DataError, match="binary 1"):
        made(empty, tmp_path / "t")
    (empty / "poem.txt").write_text("Roses and\nviolets and\n\nnothing that answers.\n")
    with pytest.raises(DataError, match="Found 0 of 60 questions in 1 of 1 documents"):
        made(empty, tmp_path / "t")
    with pytest.raises(DataError, match="missing"):
        made(tmp_path / "nowhere", tmp_path / "t")


def test_a_folder_with_other_content_is_left_alone(folder, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("Dear all")
    with pytest.raises(ArtifactError, match="not empty"):
        made(folder, out)
    assert (out / "letter.txt").read_text() == "Dear all"


@pytest.mark.slow
def test_a_real_package_s_sources_give_grounded_questions(tmp_path):
    import httpx

    root = tmp_path / "root"
    root.symlink_to(httpx.__path__[0])
    testset = made(root, tmp_path / "t", share=1.0, questions=30)
    documents = [one for one in read_folder(root) if isinstance(one, Record)]
    assert check_grounding(read_samples(testset), documents) == []
