"""Rows are read as people have them, and what cannot be used is named with its row and field."""

import json
from pathlib import Path

import pytest

from groundup.core import DataError
from groundup.evaluate.grounding.rows import ContextPassage, GroundingRow, claims_of, read_rows
from groundup.evaluate.grounding.verb import GroundingConfig
from groundup.retrieve import answer_to_json, ask, index

GOOD = {"question": "How high is it?", "answer": "It is 9 m high.", "contexts": ["It is 9 m high."]}
REFUSAL = GroundingConfig().refusal


def read(path: Path, content: str | bytes) -> list[GroundingRow]:
    data = content if isinstance(content, bytes) else content.encode()
    (path / "rows.jsonl").write_bytes(data)
    return read_rows(path / "rows.jsonl", REFUSAL)


def test_a_row_has_its_sentences_passages_and_labels(tmp_path):
    (row,) = read(tmp_path, json.dumps({
        "id": "a", "question": "How high is it?", "answer": "# Height\n\nIt is 9 m high [2]. So.",
        "contexts": ["It is old.", {"text": "It is 9 m high.", "path": "tower.md", "id": "p7"}],
        "reference": "9 m", "relevant": ["p7"], "document": "tower.md", "unanswerable": False,
        "model": "other keys are ignored",
    }))  # fmt: skip
    tower = ContextPassage("It is 9 m high.", "tower.md", "p7")
    assert row.contexts == (ContextPassage("It is old."), tower)
    assert [(c.text, c.citations) for c in row.claims] == [
        ("It is 9 m high.", (tower,)),
        ("So.", ()),
    ]
    assert [row.label_of(context) for context in row.contexts] == [False, True]
    assert (row.id, row.reference, row.document) == ("a", "9 m", "tower.md")
    assert row.unanswerable is False and row.refused is False


def test_labels_are_ids_sources_or_texts_and_added_passages_are_never_relevant(tmp_path):
    (row,) = read(tmp_path, json.dumps(GOOD | {"relevant": ["tower.md", "it  IS 9 m"]}))
    assert row.label_of(ContextPassage("x", "tower.md")) and row.label_of(
        ContextPassage("So it is 9 m high.")
    )
    assert row.label_of(ContextPassage("It is 8 m high.")) is False
    assert row.label_of(ContextPassage("It is 9 m high.", is_added=True)) is False
    assert row._replace(relevant=()).label_of(ContextPassage("x")) is None


@pytest.mark.parametrize("form", ["lines", "list", "pretty", "bom", "blank lines"])
def test_objects_may_stand_on_lines_in_a_list_or_over_many_lines(form, tmp_path):
    lines = [json.dumps(GOOD), json.dumps(GOOD | {"answer": "I don't know."})]
    text = {
        "lines": "\n".join(lines), "list": f"[{','.join(lines)}]",
        "pretty": "\n".join(json.dumps(json.loads(line), indent=1) for line in lines),
        "bom": "\ufeff" + "\r\n".join(lines), "blank lines": "\n\n".join(["", *lines, " "]),
    }[form]  # fmt: skip
    rows = read(tmp_path, text)
    assert [(row.id, row.refused) for row in rows] == [("1", False), ("2", True)]
    assert rows[1].claims == ()


def test_what_ask_printed_is_a_row(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tower.md").write_text("# Tower\n\nThe tower is 9 m high.\n")
    index(tmp_path / "docs", tmp_path / "index")
    questions = ("How high is the tower?", "Who owns the lighthouse?")
    given = [answer_to_json(ask(question, tmp_path / "index")) for question in questions]
    quoted, refused = read(tmp_path, "\n".join(json.dumps(each, indent=1) for each in given))
    assert quoted.question == questions[0] and quoted.contexts == quoted.claims[0].citations
    assert quoted.contexts == (ContextPassage("The tower is 9 m high.", "tower.md"),)
    assert refused.refused and refused.contexts == () and refused.question == questions[1]
    nested = {"question": questions[0], "answer": given[0], "contexts": ["Another passage."]}
    (row,) = read(tmp_path, json.dumps(nested))
    assert row.claims == quoted.claims and row.contexts == (ContextPassage("Another passage."),)


@pytest.mark.parametrize(
    ("text", "citations"),
    [
        ("It is old [1].", [[0]]), ("It is old. [1] It leans.", [[0], []]),
        ("It is old [1][2], it leans.", [[0, 1]]), ("It is old [1, 2].", [[0, 1]]),
        ("It is old [1][1].", [[0]]), ("It is old.[1][2]", [[0, 1]]), ("[1]", []),
        (f"It is old [{'9' * 9000}] [2024].", [[]]),
    ],
)  # fmt: skip
def test_markers_cite_the_contexts_of_their_sentence(text, citations):
    given = [ContextPassage("First."), ContextPassage("Second.")]
    found = claims_of(text, given)
    assert [[given.index(each) for each in claim.citations] for claim in found] == citations
    assert not any("[1" in claim.text for claim in found)


def broken(**changes) -> str:
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value != "-"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(question="-"), r"row 2: `question`: Field required; got nothing"),
        (broken(question="  "), r"row 2: `question`: .*; got " ""),
        (broken(question=7), r"row 2: `question`: Input should be a valid string; got 7"),
        (broken(answer="-"), r"row 2: `answer`: Field required"),
        (broken(answer=["x"]), r"row 2: `answer`: Input should be a valid string"),
        (broken(contexts="-"), r"row 2: `contexts` is missing; expected a list of passages"),
        (broken(contexts=[]), r"row 2: `contexts`: List should have at least 1 item.*got \[\]"),
        (broken(contexts="It is."), r"row 2: `contexts`: Input should be a valid list"),
        (broken(contexts=["It is.", ""]), r"row 2: `contexts.2.text`: .*got " ""),
        (broken(contexts=[{"source": "a"}]), r"row 2: `contexts.1.text`: Field required"),
        (broken(contexts=[3]), r"row 2: `contexts.1`: .*got 3"),
        (broken(claims="x"), r"row 2: `claims`: Input should be a valid list"),
        (broken(claims=[{"text": "x", "quotes": [{}]}]), r"`claims.1.quotes.1.text`: Field req"),
        (broken(relevant="p7"), r"row 2: `relevant`: Input should be a valid list"),
        (broken(relevant=[7]), r"row 2: `relevant.1`: Input should be a valid string"),
        (broken(unanswerable="no"), r"row 2: `unanswerable`: Input should be a valid boolean"),
        (broken(refused=1), r"row 2: `refused`: Input should be a valid boolean"),
        (broken(answer="\ud800"), r"row 2: `answer`: .*unicode"),
        ("[" * 100_000, r"row 2 \(line 2\) is not JSON"),
        ('{"question": "x"', r"row 2 \(line 2\) is not JSON: .*expected one object a line"),
        ("7", r"row 2: Input should be .*got 7"),
        (json.dumps(GOOD | {"id": "1"}), r"2 rows have the `id` '1'"),
    ],
)
def test_what_cannot_be_used_is_named_with_row_and_field(content, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, f"{json.dumps(GOOD)}\n{content}\n")
    assert "\n" not in str(caught.value) and "rows.jsonl" in str(caught.value)


def test_files_without_rows_of_another_encoding_or_missing_are_named(tmp_path):
    with pytest.raises(DataError, match="has no rows; expected JSON objects"):
        read(tmp_path, " \n")
    with pytest.raises(DataError, match="line 2 is not UTF-8"):
        read(tmp_path, b'{}\n{"question": "\xff"}')
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "nowhere.jsonl", REFUSAL)


def test_a_large_file_is_read_in_linear_time(tmp_path):
    line = json.dumps(GOOD | {"contexts": ["It is 9 m high. " * 40]}) + "\n"
    assert len(read(tmp_path, line * 4000)) == 4000
