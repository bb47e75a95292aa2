import json

import pytest

from groundup.align.examples.cleaning import Cleaner, CleaningConfig
from groundup.align.examples.exchanges import PHRASINGS, is_refusal
from groundup.align.examples.make import (
    ChatExample,
    ExamplesConfig,
    SplitDocuments,
    _write_examples,
    make_examples,
    read_examples,
)
from groundup.core import DataError, Draft, Message
from groundup.corpus import SPLITS, CorpusConfig, corpus
from groundup.documents import read_bytes

VERBS = "read write open close find drop copy move sort join split count".split()
NOUNS = "text lines bytes header record index page table column row block field".split()
CONFIG = ExamplesConfig(asks_per_name=2, min_occurrences=1, names_held_out=4, held_out=5)


def module(number: int):
    """A Python document with six functions, whose names no other module has."""
    name = f"lib/part{number}/store.py"
    pairs = [(VERBS[2 * i + number % 2], NOUNS[(i + number) % 12]) for i in range(6)]
    text = f'"""Store number {number}, which keeps what it is given."""\n' + "".join(
        f'def {verb}_{noun}(x):\n    """Do {verb} the {noun} of store {number}.\n\n    Again."""\n'
        f"    return x + {number}\n"
        for verb, noun in pairs
    )
    return read_bytes(text.encode(), name)


@pytest.fixture(scope="module")
def documents():
    return {
        "train": [module(n) for n in range(4)],
        "validation": [module(4)],
        "test": [module(5)],
    }


@pytest.fixture
def corpus_artifact(tmp_path):
    for number in range(8):
        document = module(number)
        path = tmp_path / "source" / document.path
        path.parent.mkdir(parents=True)
        path.write_text(document.text)
    config = CorpusConfig(near_duplicate_threshold=0, validation_share=0.2, test_share=0.2)
    return corpus(config, tmp_path / "source", tmp_path / "corpus")


def write(documents, folder, config=CONFIG):
    folder.mkdir(exist_ok=True)
    draft = Draft(folder, folder, folder)
    _write_examples(draft, config, SplitDocuments(documents), Cleaner(CleaningConfig()))
    rows = {
        split: [
            ChatExample.from_json(line)
            for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()
        ]
        for split in SPLITS
    }
    return rows, draft.numbers


def test_examples_of_a_split_come_from_its_own_files(documents, tmp_path):
    rows, _ = write(documents, tmp_path)
    modules = {"train": "0123", "validation": "4", "test": "5"}
    for split in SPLITS:
        for row in rows[split]:
            home = "0123" if row.kind == "name" else modules[split]
            assert row.group[4] in home, row
    kinds = {"explain", "docstring", "write", "topic", "name"}
    assert kinds <= {row.kind for row in rows["test"]} <= kinds | {"question", "dialogue"}


def test_no_refused_name_exists_and_every_answered_one_does(documents, tmp_path):
    rows, _ = write(documents, tmp_path)
    everything = " ".join(d.text for split in SPLITS for d in documents[split])
    for row in rows["train"] + rows["test"] + rows["validation"]:
        for question, answer in zip(row.messages[::2], row.messages[1::2], strict=True):
            if row.kind == "name":
                identifier = question.content.partition("store.")[2]
                identifier = identifier.partition("`")[0].partition(" ")[0].rstrip("?.;")
                assert (f"def {identifier}(" in everything) is not is_refusal(answer.content)


def test_the_refusal_test_is_balanced_and_phrased_as_training_never_is(documents, tmp_path):
    rows, _ = write(documents, tmp_path)
    trained = {m.content for row in rows["train"] for m in row.messages if m.role == "user"}
    openings = {phrase.partition("{")[0].strip("`") for phrase in PHRASINGS["name_held_out"]}
    for split in ("validation", "test"):
        asked = [row for row in rows[split] if row.kind == "name"]
        known = [row for row in asked if row.known]
        assert 2 * len(known) == len(asked) and all(len(row.messages) == 2 for row in asked)
        assert [row.exposure for row in known].count("read") == len(known) // 2
        assert not trained & {row.messages[0].content for row in asked}
        for row in asked:
            assert any(row.messages[0].content.startswith(opening) for opening in openings)


def test_read_names_are_never_asked_in_training_and_asked_ones_are(documents, tmp_path):
    rows, _ = write(documents, tmp_path)
    answers = {m.content for row in rows["train"] if row.kind == "name" for m in row.messages}
    for row in rows["test"] + rows["validation"]:
        if row.exposure:
            assert (row.messages[1].content in answers) is (row.exposure == "asked")


def test_a_seed_decides_everything(documents, tmp_path):
    first, _ = write(documents, tmp_path / "a")
    assert write(documents, tmp_path / "b")[0] == first
    other = CONFIG.model_copy(update={"seed": 1})
    assert write(documents, tmp_path / "c", other)[0]["train"] != first["train"]


def test_nothing_repeats_and_nothing_is_too_long(documents, tmp_path):
    config = ExamplesConfig(min_occurrences=1, max_chars=150)
    rows, numbers = write(documents, tmp_path, config)
    messages = [row.messages for row in rows["train"]]
    assert len(set(messages)) == len(messages) == numbers["train"]["all"]
    assert max(sum(len(m.content) for m in turn) for turn in messages) <= 150
    assert numbers["train"]["refusals"] == sum(row.refusal for row in rows["train"])


def test_held_out_code_that_stands_in_train_is_left_out(documents, tmp_path):
    same = documents | {"test": [documents["train"][0]]}
    rows, _ = write(same, tmp_path)
    assert {row.kind for row in rows["test"]} <= {"topic", "name"}


def test_rows_survive_a_round_trip_and_damage_is_named(tmp_path):
    row = ChatExample(
        "a", "name", "m", (Message("user", "é?"), Message("assistant", "x")), known=True
    )
    assert ChatExample.from_json(row.to_json()) == row
    assert json.loads(row.to_json())["messages"][0] == {"role": "user", "content": "é?"}


def test_documents_that_offer_nothing_are_an_error(documents, tmp_path):
    empty = [read_bytes(b"just words", "a.txt")]
    with pytest.raises(DataError, match="None of the 1 train documents"):
        write(documents | {"train": empty, "validation": [], "test": []}, tmp_path)


def test_the_stage_makes_an_artifact_of_a_corpus(corpus_artifact, tmp_path):
    made = make_examples(CONFIG, corpus_artifact, tmp_path / "examples")
    assert made.kind == "examples"
    rows = list(read_examples(made, "train"))
    assert rows and {row.kind for row in rows} >= {"explain", "name"}
    assert len(rows) == made.numbers["train"]["all"]
    assert make_examples(CONFIG, corpus_artifact, tmp_path / "examples").id == made.id
    (made.path / "test.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="test.jsonl line 1"):
        next(read_examples(made, "test"))
