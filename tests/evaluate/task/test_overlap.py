"""Questions that a model was trained on are counted through its lineage."""

import json
from pathlib import Path

import pytest

from groundup.core import Artifact, Config, ConfigError, DataError, produce, write_text
from groundup.evaluate.task.overlap import overlap

ASKED = "Which of the nine old bridges over the river was built first, and by whom was it paid?"
OTHER = "How many of the small boats in the harbour carry a lamp at the mast when it is dark?"


@pytest.fixture
def examples(tmp_path: Path) -> Artifact:
    row = {"messages": [{"role": "user", "content": f"Tell me: {ASKED} I must know."}]}
    return produce(
        tmp_path / "examples", kind="examples", stage="examples", version=1, config=Config(),
        parents={}, write=lambda draft: write_text(
            draft.file("train.jsonl"), json.dumps(row) + "\n"),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"q": ASKED, "a": "x"}, {"q": OTHER, "a": "y"}, {"q": "Who?", "a": "z"}]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        "task: bridges\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\n"
        "test_split: test\ndoc_to_target: a\n"
    )
    (tasks / "bridges.yaml").write_text(text + 'doc_to_text: "{{q}}"\n')
    hidden = 'doc_to_text: "{{a}}"\nshould_decontaminate: true\ndoc_to_decontamination_query: q\n'
    (tasks / "hidden.yaml").write_text(text.replace("bridges", "hidden") + hidden)
    return tasks


@pytest.mark.parametrize("name", ["bridges", "hidden"])
def test_a_question_that_was_trained_on_is_found(examples, folder, name):
    found = overlap([name], against=examples, include=folder).tasks[0]
    assert (found.task, found.samples, found.found.too_short) == (name, 3, 1)
    assert {(one.sample, one.kind) for one in found.found.overlaps} == {("0", "copied")}
    assert str(found).startswith(f"{name}: 1 of 3 samples were trained on\n1 training texts read")


def test_limits_and_wrong_use(examples, folder, tmp_path):
    found = overlap(["bridges", "hidden"], against=examples, include=folder, limit=1)
    assert [one.samples for one in found.tasks] == [1, 1]
    with pytest.raises(ConfigError, match="did you mean `bridges`"):
        overlap(["bridge"], against=examples, include=folder)
    empty = produce(
        tmp_path / "model", kind="model", stage="x", version=1, config=Config(), parents={},
        write=lambda draft: write_text(draft.file("w"), "0"),
    )  # fmt: skip
    with pytest.raises(DataError, match="neither a corpus nor examples in its lineage"):
        overlap(["bridges"], against=empty, include=folder)
