"""The recipe leaves an index that answers, its calibration, reports and a verdict."""

import json

import pytest

from groundup.core import Artifact, ConfigError, GateFailed
from groundup.recipes.grounded import grounded
from groundup.retrieve import ask
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
    for name in ("index-report", "words-report"):
        assert Artifact.open(out / name, "report").numbers["rows"] > 10
    assert (out / "words" / "calibration.json").is_file()
    assert "reading" in ask("How much does the old kayak cost?", out / "index").details


def test_an_output_among_the_documents_is_refused(documents, tmp_path):
    with pytest.raises(ConfigError, match="lies in the documents"):
        grounded(documents=documents, base=tmp_path, out=documents / "runs")
