"""From rows to a report that gates and compares, and answers that change with added passages."""

import json
from pathlib import Path

import pytest

from groundup.core import Answer, Artifact, ConfigError, DataError, GateFailed, Reason
from groundup.evaluate import (
    Critic,
    GroundingConfig,
    compare,
    gate,
    grounding,
    read_report,
    read_sample_rows,
    score_answers,
)
from groundup.evaluate.grounding.noise import (
    answer_from_contexts,
    answer_with_noise,
    contexts_with_noise,
)
from groundup.evaluate.grounding.rows import ContextPassage, GroundingRow, read_rows

PLAIN = GroundingConfig()
THINGS = (
    "barn mill pond forge tower ferry abbey kiln stable bridge church school".split()
)  # fmt: skip


def rows_file(path: Path, *, wrong: int = 0, count: int = len(THINGS)) -> Path:
    """A row a thing: how high it is, a right or a wrong answer, and a passage that says it."""
    rows = []
    for number, thing in enumerate(THINGS[:count]):
        high, said = 10 + number, 10 + number + (number < wrong)
        text = f"The {thing} is {high} metres high. Its roof is of slate."
        rows.append({
            "question": f"How high is the {thing}?",
            "answer": f"The {thing} is {said} metres high [1].",
            "contexts": [{"text": text, "source": f"{thing}.md"}],
            "reference": f"The {thing} is {high} metres high.", "document": f"{thing}.md",
        })  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_report_has_every_measure_that_the_labels_allow_with_intervals(tmp_path):
    found = grounding(rows_file(tmp_path / "r.jsonl", wrong=3), out=tmp_path / "r", config=PLAIN)
    report = read_report(Artifact.open(tmp_path / "r", "report"))
    assert report == found.report and report.subject.kind == "answers"
    (task,) = report.tasks
    results = {measure.name: measure.result for measure in task.measures}
    assert results["faithfulness"].estimate == results["correct"].estimate == 9 / 12
    assert 0 < results["faithfulness"].low < 9 / 12 < results["faithfulness"].high < 1
    assert results["citation_recall"].estimate == results["citation_precision"].estimate == 9 / 12
    assert results["context_precision"].estimate == results["context_recall"].estimate == 1.0
    # Nothing is labelled as relevant or unanswerable, and a single context has no distance.
    assert not results.keys() & {"relevant_recall", "refused"}
    assert isinstance(results["diversity"], Reason)
    rows = list(read_sample_rows(found.artifact, "grounding"))
    assert rows[0]["scores"]["faithfulness"] == 0.0 and rows[3]["scores"]["faithfulness"] == 1.0
    claims = [{"text": "The barn is 11 metres high.", "supported": False}]
    assert rows[0]["document"]["claims"] == claims
    assert "faithfulness" in str(found) and "0.75 [" in str(found)


def test_rows_of_one_document_are_resampled_together(tmp_path):
    path = rows_file(tmp_path / "r.jsonl", wrong=6)
    apart = grounding(path, out=tmp_path / "apart", config=PLAIN).report.tasks[0].measures[0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(
        json.dumps(row | {"document": f"half-{number // 6}"}) + "\n"
        for number, row in enumerate(rows)
    ))  # fmt: skip
    halves = grounding(path, out=tmp_path / "halves", config=PLAIN).report.tasks[0].measures[0]
    assert (apart.result.groups, halves.result.groups) == (12, 2)
    assert halves.result.high - halves.result.low > apart.result.high - apart.result.low


def test_reports_gate_and_compare_as_those_of_models(tmp_path):
    for name, wrong in (("good", 0), ("bad", 9)):
        grounding(rows_file(tmp_path / f"{name}.jsonl", wrong=wrong), out=tmp_path / name,
                  config=PLAIN)  # fmt: skip
    good, bad = tmp_path / "good", tmp_path / "bad"
    compared = compare([good, bad], out=tmp_path / "compared").comparison
    verdicts = {m.key: m.versus[0].verdict for task in compared.tasks for m in task.measures}
    assert verdicts["faithfulness"] == verdicts["citation_recall"] == "worse"
    assert verdicts["context_recall"] == "not told apart"
    assert (
        "barn is 11 metres" in (tmp_path / "compared/samples").glob("*.html").__next__().read_text()
    )
    assert gate(good, require=["faithfulness>=0.6"], out=tmp_path / "v").passed
    with pytest.raises(GateFailed):
        gate(bad, against=good, margin=0.05, out=tmp_path / "w")


def test_right_refusals_are_no_missing_scores_for_a_gate(tmp_path):
    path = rows_file(tmp_path / "r.jsonl")
    row = {"question": "Who owns the barn?", "answer": "Not in these documents.",
           "contexts": ["The barn is red."], "unanswerable": True}  # fmt: skip
    more = "".join(json.dumps(row | {"id": f"u{number}"}) + "\n" for number in range(12))
    path.write_text(path.read_text() + more)
    found = grounding(path, out=tmp_path / "r", config=PLAIN).report.tasks[0]
    measures = {measure.name: measure for measure in found.measures}
    assert measures["refused"].result.estimate == 1.0 and measures["refused"].n_scored == 12
    assert measures["faithfulness"].reasons == {"refusal": 12}
    assert gate(tmp_path / "r", require=["faithfulness>0.7"], out=tmp_path / "v").passed
    path.write_text(path.read_text().replace('"unanswerable": true', '"unanswerable": false'))
    grounding(path, out=tmp_path / "wrong", config=PLAIN)
    with pytest.raises(GateFailed, match="has a number"):
        gate(tmp_path / "wrong", require=["faithfulness>0.7"], out=tmp_path / "w")


def test_the_same_rows_and_settings_are_scored_once_and_others_are_another_report(tmp_path):
    path, asked = rows_file(tmp_path / "r.jsonl"), []

    def supports(passage: str, claim: str) -> float:
        asked.append(claim)
        return 0.9

    critic = Critic(supports, name="always")
    first = score_answers(path, tmp_path / "r", PLAIN, critic=critic)
    assert first.report.tasks[0].measures[0].result.estimate == 1.0 and asked
    del asked[:]
    assert score_answers(path, tmp_path / "r", PLAIN, critic=critic).artifact == first.artifact
    assert not asked
    for changed in ({"critic": None}, {"name": "other"}, {"noise": [2]}):
        with pytest.raises(Exception, match="already holds"):
            score_answers(path, tmp_path / "r", PLAIN, **{"critic": critic} | changed)


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> list[GroundingRow]:
    path = rows_file(tmp_path_factory.mktemp("rows") / "r.jsonl")
    return read_rows(path, PLAIN.refusal)


def pool_of(rows: list[GroundingRow]) -> list[ContextPassage]:
    return [context for row in rows for context in row.contexts]


def added(row: GroundingRow, pool: list[ContextPassage], count: int, seed: int = 0):
    return contexts_with_noise(row, pool, [count], Critic(), seed)[count]


def test_irrelevant_passages_are_of_other_documents_and_do_not_have_the_answer(read):
    barn, mill = read[0], read[1]
    found = [each for each in added(barn, pool_of(read), 11) if each.is_added]
    assert {each.text for each in found} == {each.text for each in pool_of(read[1:])}
    answering = ContextPassage("So the barn is 10 metres high.", "x.md")
    same = ContextPassage("Another page of the barn.", "barn.md")
    copy = barn.contexts[0]._replace(source="y.md")
    labelled = barn._replace(relevant=("mill.md",))
    for row, passage in ((barn, answering), (barn, same), (barn, copy),
                         (labelled, mill.contexts[0])):  # fmt: skip
        with pytest.raises(DataError, match="Row 1: expected 1 irrelevant passages .* are 0"):
            added(row, [*row.contexts, passage], 1)


def test_more_passages_have_the_fewer_among_them_and_seeds_draw_others(read):
    pool = pool_of(read)
    found = contexts_with_noise(read[0], pool, [0, 2, 8], Critic(), 0)
    assert [len(each) for each in found.values()] == [1, 3, 9]
    assert set(found[0]) < set(found[2]) < set(found[8]) and found[0] == read[0].contexts
    assert found[8] == added(read[0], pool, 8) != added(read[0], pool, 8, seed=1)
    several = read[0]._replace(contexts=tuple(pool[:3]))
    orders = [added(several, pool, 2, seed) for seed in range(20)]
    assert all([c for c in order if not c.is_added] == pool[:3] for order in orders)
    assert {order.index(pool[0]) for order in orders} == {0, 1, 2}


def test_quotes_of_the_contexts_answer_or_refuse(read):
    contexts = [context for row in read[:3] for context in row.contexts]
    found = answer_from_contexts("How high is the mill?", contexts)
    assert found.claims[0].text.startswith("The mill is 11 metres high.")
    assert found.claims[0].quotes[0].path.endswith("mill.md")
    assert answer_from_contexts("Who owns the lighthouse?", contexts).refused


def test_an_answer_that_follows_the_first_passage_changes_and_quotes_do_not(tmp_path):
    def follow_first(question: str, contexts) -> Answer:
        return Answer(contexts[0].text.split(". ")[0] + ".")

    path = rows_file(tmp_path / "r.jsonl")
    naive = score_answers(path, tmp_path / "n", PLAIN, noise=[8, 2], answer=follow_first).report
    quoted = grounding(path, out=tmp_path / "q", config=PLAIN, noise=[2, 8]).report
    assert [task.name for task in naive.tasks] == ["grounding", "noise-0", "noise-2", "noise-8"]

    def estimates(report, measure: str) -> list[float]:
        tasks = (report.task(f"noise-{count}").measures for count in (0, 2, 8))
        found = (next(each for each in task if each.name == measure) for task in tasks)
        return [measure.result.estimate for measure in found]

    # 2 and then 8 passages before a row's own one: it is first in 1/3 and 1/9 of the orders.
    naive_correct = estimates(naive, "correct")
    assert naive_correct[0] == 1.0 and naive_correct[0] > naive_correct[1] > naive_correct[2]
    assert estimates(naive, "unchanged") == naive_correct
    assert estimates(naive, "correct_change") == [each - 1 for each in naive_correct]
    assert estimates(naive, "noise_sensitivity") == [1 - each for each in naive_correct]
    assert estimates(naive, "faithfulness") == [1.0] * 3  # wrong, and supported by the wrong one
    for measure in ("correct", "answered", "unchanged", "faithfulness"):
        assert estimates(quoted, measure) == [1.0] * 3
    assert estimates(quoted, "noise_sensitivity") == [0.0] * 3


def test_noise_needs_contexts_and_a_number_of_one_or_more(tmp_path, read):
    empty = read[0]._replace(contexts=())
    with pytest.raises(DataError, match="Row 1 has no `contexts`"):
        answer_with_noise([empty], [0], answer_from_contexts, Critic(), 0)
    with pytest.raises(DataError, match="expected 12 irrelevant passages"):
        grounding(rows_file(tmp_path / "r.jsonl"), out=tmp_path / "r", config=PLAIN, noise=[12])
    assert not (tmp_path / "r").exists()
    with pytest.raises(ConfigError, match="--noise 0 must be 1 or more"):
        grounding(rows_file(tmp_path / "r.jsonl"), out=tmp_path / "r", config=PLAIN, noise=[0])


def test_how_a_refusal_begins_is_a_setting_and_a_wrong_expression_is_named(tmp_path):
    path = tmp_path / "r.jsonl"
    row = {"question": "Why?", "answer": "Davon steht hier nichts.", "contexts": ["So."]}
    path.write_text(json.dumps(row | {"unanswerable": True}))
    (unknown,), (known,) = read_rows(path, PLAIN.refusal), read_rows(path, "davon steht")
    assert (unknown.refused, known.refused) == (False, True)
    with pytest.raises(ConfigError, match=r"refusal='\(' is no regular expression"):
        read_rows(path, "(")


def test_the_command_prints_a_table_json_and_one_line_for_a_wrong_row(tmp_path, run):
    path = rows_file(tmp_path / "r.jsonl", wrong=3)
    code, out, err = run("grounding", str(path), "--out", str(tmp_path / "r"), "--name", "bot, May",
                       "--noise", "2", "--set", "confidence=0.9")  # fmt: skip
    assert "again, each 2 times" in err and "Documents:" not in err  # of each of many indexes
    assert code == 0 and "bot, May" in out and "faithfulness" in out and "noise-2" in out
    code, out, _ = run("grounding", str(path), "--out", str(tmp_path / "r"), "--name", "bot, May",
                       "--noise", "2", "--set", "confidence=0.9", "--json")  # fmt: skip
    tasks = json.loads(out)["report"]["tasks"]
    assert [task["name"] for task in tasks] == ["grounding", "noise-0", "noise-2"]
    assert tasks[0]["measures"][0]["result"]["confidence"] == 0.9
    path.write_text('{"question": "Why?", "answer": "So.", "contexts": []}\n')
    code, out, err = run("grounding", str(path), "--out", str(tmp_path / "s"))
    assert code == 1 and err.count("\n") == 1 and "row 1: `contexts`" in err
    assert not (tmp_path / "s").exists()
    assert "--noise" in run("grounding", "--help")[1]
