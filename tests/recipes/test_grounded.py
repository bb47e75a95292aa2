"""The recipe leaves an index that answers, its calibration, reports and a verdict."""

import json

import pytest

from groundup.core import Artifact, ConfigError, GateFailed
from groundup.recipes import grounded as recipe
from groundup.recipes.grounded import grounded
from groundup.retrieve import IndexConfig, MadeQuestion, ask, index, made_questions, open_index
from tests.retrieve.encoders.small import write_base

THINGS = "punt kayak canoe dinghy skiff raft barge ferry tender yawl".split()


@pytest.fixture
def documents(tmp_path):
    (tmp_path / "docs").mkdir()
    for n, thing in enumerate(THINGS):
        (tmp_path / "docs" / f"{thing}.md").write_text(
            f"# The {thing}\n\nThe old {thing} costs {40 + n} euros a day. The {thing} is kept in "
            f"the shed by the river. The mast of the {thing} was made in {1900 + n} by a man of "
            f"the town, who had never seen the sea.\n\n## Care\n\nThe {thing} is painted every "
            "spring before the first tide, and its ropes are dried under the roof of the shed.\n"
        )
    return tmp_path / "docs"


def test_the_recipe_runs_to_its_verdict_and_again_from_what_is_there(documents, tmp_path):
    out, base = tmp_path / "out", write_base(tmp_path / "base")
    questions = tmp_path / "squad.json"
    context = "The bell was cast in Ashby in 1811."
    rows = [
        {"title": f"t{n}", "paragraphs": [{"context": context, "qas": [
            {"question": "Where was the bell cast?", "is_impossible": False,
             "answers": [{"text": "in Ashby", "answer_start": context.index("in Ashby")}]},
            {"question": "Who rang the bell?", "is_impossible": True, "answers": []},
        ]}]} for n in range(12)
    ]  # fmt: skip
    questions.write_text(json.dumps({"data": rows}))
    ended = list[str]()
    for _ in range(2):
        try:
            made = grounded(
                documents=documents, base=base, questions=(questions,), out=out, facts=64, made=40
            )
            ended.append(made)
        except GateFailed as failure:  # a model of random weights may refuse too much
            ended.append(str(failure))
    assert ended[0] == ended[1]
    assert Artifact.open(out / "verdict", "verdict").kind == "verdict"
    keeps = Artifact.open(out / "verdict-reranker", "verdict").numbers["passed"]
    kept = open_index(out / "index").artifact.config["reranker"]["path"]
    assert (kept == str(out / "reranker")) if keeps else not kept
    for name in ("index-report", "words-report"):
        assert Artifact.open(out / name, "report").numbers["rows"] > 10
    assert (out / "words" / "calibration.json").is_file()
    assert "reading" in ask("How much does the old kayak cost?", out / "index").details


@pytest.mark.parametrize(("places", "keeps"), [((0.5, 0.5), True), ((0.5, 0.4), False)])
def test_the_index_keeps_a_reranker_that_does_not_lose(
    documents, tmp_path, monkeypatch, places, keeps
):
    made = index(documents, tmp_path / "words")
    asked = 4 * made_questions(open_index(tmp_path / "words"), 40, 0.4, 0)
    ranks = iter([place for place in places for each in asked if each.answers])
    monkeypatch.setattr(recipe, "_reciprocal_rank", lambda index, question: next(ranks))
    monkeypatch.setattr(recipe, "_with_reranker", lambda models, reranker: models)
    for _ in range(2):  # the second time nothing is asked
        assert recipe._keeps_reranker(documents, IndexConfig(), made, asked, tmp_path) is keeps
    with pytest.raises(StopIteration):
        next(ranks)


def test_the_place_of_the_right_passage_counts_and_that_of_another_document_does_not(
    documents, tmp_path
):
    index(documents, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    right = MadeQuestion("How much does the old raft cost?", ("45 euros",), "raft.md")
    assert recipe._reciprocal_rank(opened, right) == 1
    assert recipe._reciprocal_rank(opened, right._replace(path="punt.md")) == 0
    assert recipe._reciprocal_rank(opened, right._replace(answers=("4 euros",))) == 0


def test_an_output_among_the_documents_is_refused(documents, tmp_path):
    with pytest.raises(ConfigError, match="lies in the documents"):
        grounded(documents=documents, base=tmp_path, out=documents / "runs")
