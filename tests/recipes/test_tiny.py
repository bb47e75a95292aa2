"""A machine gets the step of its speed and keeps it; the last words can be typed as they stand."""

import json
import shlex

import pytest

from groundup.cli import main
from groundup.core import MANIFEST, Config, ConfigError, produce, record, write_text
from groundup.recipes import RECIPES, run
from groundup.recipes.tiny import STEPS, DemoStep, _choose_step, _final_message, machine_step, tiny


class Nothing(Config):
    """No settings."""


@pytest.mark.parametrize(("peak", "number"), [(3e12, 0), (2e12, 0), (9e11, 1), (1e11, 2), (0, 2)])
def test_a_machine_gets_the_step_of_its_matrix_peak(peak, number):
    assert machine_step(peak) == STEPS[number]


def test_the_chosen_step_is_told_with_its_reason_and_kept_when_the_run_resumes(tmp_path, capsys):
    nothing = {"tokens": None, "depth": None, "epochs": None}
    record.set_output_mode("plain")
    try:
        chosen = _choose_step(tmp_path / "step.json", nothing)
    finally:
        record.set_output_mode("silent")
    said = capsys.readouterr().err
    trained = f"{chosen.depth} layers and {chosen.tokens:,} tokens"
    assert f"of {len(STEPS)}: {trained}, because the matrix peak of " in said
    kept = DemoStep(1e9, 123_456, 1.25)
    (tmp_path / "step.json").write_text(json.dumps(kept._asdict()))
    assert _choose_step(tmp_path / "step.json", nothing) == kept
    given = _choose_step(tmp_path / "step.json", {"tokens": 9_000, "depth": 2, "epochs": 1.0})
    assert given == kept._replace(tokens=9_000, depth=2, epochs=1.0)
    assert capsys.readouterr().err == ""


def test_a_run_of_an_earlier_version_keeps_its_step(tmp_path):
    earlier = {"peak_flops": 0.0, "tokens": 1_000_000, "epochs": 1.5, "xz_share": 1.0}
    (tmp_path / "step.json").write_text(json.dumps(earlier))
    kept = _choose_step(tmp_path / "step.json", {})
    assert kept == DemoStep(0.0, 1_000_000, 1.5, 1.0) and (kept.depth, kept.examples) == (4, {})


def test_a_wrong_size_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="tokens"):
        tiny(out=tmp_path / "run", tokens=0)
    with pytest.raises(ConfigError, match="epochs"):
        tiny(out=tmp_path / "other", epochs=0.0)
    assert not (tmp_path / "run" / "corpus").exists()


def test_the_last_words_are_commands(tmp_path):
    folder = tmp_path / "my runs"
    report = produce(
        folder / "report", kind="report", stage="x", version=1, config=Nothing(), parents={},
        write=lambda draft: write_text(draft.file("report.html"), "page"),
    )  # fmt: skip
    words = _final_message(folder, report, "Done in 4 s.")
    assert words.startswith("Done in 4 s. Every gate passed; the report is ")
    assert str(report.path / "report.html") in words
    for line in words.split("Next:\n")[1].splitlines():
        typed = shlex.split(line)
        assert typed[0] == "groundup"
        assert any(word.startswith(str(folder)) for word in typed), line


def test_the_recipe_is_found_by_name():
    assert run("tiny") is tiny
    assert all(callable(run(name)) for name in RECIPES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_run_makes_everything_and_then_has_nothing_to_do(tmp_path, capsys):
    out = tmp_path / "tiny"
    for words in ("Done in ", "All is done."):
        with pytest.raises(SystemExit) as ended:
            main(["run", "tiny", "--out", str(out), "--tokens", "200000", "--depth", "2"])
        # So short a training need not pass the gates; then the last word is theirs.
        assert ended.value.code in (0, 3, None)
        said = capsys.readouterr()
        assert ended.value.code == 3 or said.out.startswith(words)
    folders = ("corpus", "tokenizer", "tokens", "base", "examples", "chat", "int8", "index",
               "manual", "questions", "names", "compared", "verdict", "report")  # fmt: skip
    for name in folders:
        places = [out / name, *(out / name).glob("snapshots/*")]
        assert any((place / MANIFEST).is_file() for place in places), name
    assert (out / "report" / "report.html").stat().st_size > 10_000
