"""A gate passes on the right side of its limit and fails on the other; nothing else moves it."""

import copy
import json

import pytest

from groundup.core import Artifact, Config, Draft, produce, write_json, write_text
from groundup.measure import Interval, read_verdict
from groundup.recipes.report.report import _report_page
from groundup.recipes.report.story import (
    MEANING,
    _sample_section,
    flat,
    gate_assessment,
    negated,
    run_story,
    verdict_interval,
)


def found(estimate: float, spread: float = 0.01) -> dict:
    return Interval(estimate, estimate - spread, estimate + spread, 0.95, 90, 30)._asdict()


def row(name: str, unit: str, ours: float, baseline: float) -> dict:
    return {
        "name": name, "unit": unit, "ours": found(ours), "baseline": found(baseline),
        "difference": found(ours - baseline), "ratio": found(ours / baseline, 0.001),
    }  # fmt: skip


GOOD = {
    "xz": {"alone": 2.0, "given_train": 1.8},
    "text": found(1.6, 0.02),
    "rows": {
        "answers": row("Reference answers", "bits per byte", 1.0, 1.5),
        "similarity": row("Edit similarity", "", 0.5, 0.2),
        "answers_int8": row("Reference answers, int8", "bits per byte", 1.001, 1.0),
    },
    "ended": found(0.98),
    "refusals": {"unknown": found(0.9), "known": found(0.2), "difference": found(0.7, 0.1)},
}


class Planted(Config):
    """Nothing but a name, so that two artifacts differ."""

    name: str = ""


def planted(out, kind: str, files: dict, numbers: dict | None = None) -> Artifact:
    """An artifact with files of this content, and some metrics in its log."""

    def write(draft: Draft) -> None:
        for name, content in files.items():
            write_text(draft.file(name), content if isinstance(content, str) else "")
            if not isinstance(content, str):
                write_json(draft.file(name), content)
        rows = [{"step": 0, "loss": 5.0}, {"step": 1, "loss": 4.0}, {"step": 1, "validation": 4.5}]
        write_text(draft.log / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        draft.numbers |= numbers or {}

    return produce(
        out, kind=kind, stage="planted", version=1, config=Planted(name=out.name), parents={},
        write=write,
    )  # fmt: skip


def answer_line(number: int, kind: str) -> str:
    answers = {name: {"text": f"by {name}", "score": 0.5} for name in ("base", "chat", "int8")}
    return json.dumps({
        "id": f"{number}", "kind": kind, "prompt": f"What is {number}?", "reference": "It is.",
        "answers": answers,
    })  # fmt: skip


@pytest.fixture
def made(tmp_path):
    """Make planted artifacts of a run with these figures."""

    def make(figures: dict) -> dict[str, Artifact]:
        lines = [answer_line(n, "explain" if n % 3 else "refusal") for n in range(20)]
        files = {"assessment.json": figures, "answers.jsonl": "\n".join(lines) + "\n"}
        run = {
            "base": planted(tmp_path / "base", "model", {"a": "base"}, {"tokens per second": 9.5}),
            "chat": planted(tmp_path / "chat", "model", {"a": "chat"}, {"compiled": False}),
            "assessment": planted(tmp_path / "assessment", "report", files),
        }
        testset = planted(tmp_path / "testset", "testset", {"samples.jsonl": ""})
        verdict = gate_assessment(
            run["assessment"], run["chat"], run["base"], testset, tmp_path / "verdict"
        )
        return run | {"verdict": verdict}

    return make


def stopped(run: dict[str, Artifact]) -> list[str]:
    return [row["name"] for row in read_verdict(run["verdict"]).checks if not row["passed"]]


def test_good_figures_pass_every_gate(made):
    run = made(GOOD)
    judged = read_verdict(run["verdict"])
    assert judged.passed and [row["name"] for row in judged.checks] == list(MEANING)
    parents = {parent.name: parent.id for parent in run["verdict"].parents}
    assert parents.keys() == {"subject", "baseline", "testset"}
    assert (parents["subject"], parents["baseline"]) == (run["chat"].id, run["base"].id)


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        (("text",), found(1.71, 0.01), ["base against xz"]),
        (("text",), found(1.6, 0.35), ["base against xz, for sure"]),
        (("rows", "answers", "difference"), found(-0.005), ["chat answers predicted"]),
        (("rows", "answers", "difference"), found(0.5), ["chat answers predicted"]),
        (("rows", "similarity", "difference"), found(0.009), ["chat answers alike"]),
        (("ended",), found(0.94, 0.2), ["answers ended"]),
        (("refusals", "difference"), found(0.05, 0.06), ["unknown refused"]),
        (("rows", "answers_int8", "ratio"), found(1.0045, 0.001), ["int8 as good as chat"]),
        (("refusals", "difference"), {"code": "empty", "message": "no names"}, ["unknown refused"]),
    ],
)
def test_one_bad_figure_stops_at_its_own_gate_alone(made, tmp_path, path, value, names):
    figures = copy.deepcopy(GOOD)
    inner = figures
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    run = made(figures)
    assert stopped(run) == names
    judged = read_verdict(run["verdict"])
    assert all(row["next"] for row in [*judged.failed, *judged.undecided])
    assert not judged.passed and not run_story(run, tmp_path).verdict.startswith("Every gate")


def test_the_report_says_all_that_was_measured(made, tmp_path):
    run = made(GOOD)
    data = run_story(run, tmp_path)
    assert (
        data.verdict.startswith("Every gate passed") and "0.80 times what xz needs" in data.verdict
    )
    assert [check.requirement for check in data.checks] == list(MEANING.values())
    assert [check.decides for check in data.checks].count("estimate") == 2
    assert [(row.name, row.path) for row in data.artifacts] == [(name, name) for name in run]
    assert {row.name: row.parents for row in data.artifacts}["verdict"] == ("chat", "base")
    assert [row.measure for row in data.evaluation] == [
        "Unseen text", "Reference answers", "Edit similarity",
    ]  # fmt: skip
    assert data.evaluation[1].values == {"base": 1.5, "chat": 1.0, "int8": 1.001}
    assert data.headline[1].value == pytest.approx(90)
    assert [[list(s.y) for s in curve.series] for curve in data.curves] == [[[5, 4], [4.5]]] * 2
    assert {stage.name: dict(stage.numbers) for stage in data.stages}["chat"] == {"compiled": "no"}
    page = str(_report_page(data).render())
    assert "Every gate passed" in page and "What is 1?" in page


def test_a_failed_gate_is_told_first(made, tmp_path):
    data = run_story(made(GOOD | {"ended": found(0.5)}), tmp_path)
    assert data.verdict.startswith("A gate failed")
    wrong = [check for check in data.checks if not check.passed]
    assert [(check.name, check.hint) for check in wrong] == [
        ("answers ended", "give more --epochs")
    ]


def test_a_report_without_a_number_is_a_report(made, tmp_path):
    figures = copy.deepcopy(GOOD)
    nothing = {"code": "empty", "message": "no sample"}
    figures["refusals"] = dict.fromkeys(("unknown", "known", "difference"), nothing)
    figures["ended"] = nothing
    figures["rows"]["similarity"] |= {"ours": nothing, "baseline": nothing, "difference": nothing}
    figures["rows"]["answers"]["difference"] = nothing
    run = made(figures)
    assert stopped(run) == [
        "chat answers predicted", "chat answers alike", "answers ended", "unknown refused",
    ]  # fmt: skip
    data = run_story(run, tmp_path)
    assert [number.value for number in data.headline] == [1.6, None, None]
    assert "Answers the model ended itself" in str(_report_page(data).render())


def test_four_samples_of_each_kind_are_shown(made):
    rows = _sample_section(made(GOOD)["assessment"])
    assert sorted(row.kind for row in rows) == ["explain"] * 4 + ["refusal"] * 4
    assert rows[0].answers["chat"].text == "by chat"


def test_minus_an_interval_turns_its_bounds_round():
    turned = negated({**found(-0.5, 0.1)})
    assert (turned.estimate, turned.low, turned.high) == pytest.approx((0.5, 0.4, 0.6))
    assert verdict_interval({"code": "a", "message": "b"}).code == "a" == negated(
        {"code": "a", "message": "b"}
    ).code  # fmt: skip


def test_nested_numbers_get_one_name():
    numbers = {"train": {"all": 3, "kinds": {"a": 1.5}}, "compiled": True, "names": ["x"]}
    assert flat(numbers) == {"train, all": 3, "train, kinds, a": 1.5, "compiled": "yes"}
