"""Comparisons are fair and what the README shows is what was measured."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from groundup.core import device
from tests.checking import unchecked

ROOT = Path(__file__).resolve().parents[1]


def script(name: str) -> ModuleType:
    return import_module(f"benchmarks.{name}")


@pytest.fixture(scope="module")
def table():
    return script("table")


def test_a_drifting_machine_moves_both_sides_and_not_the_ratio(table):
    speed = [1.0, 0.5, 0.7, 0.9, 0.3]
    row = table.compare(
        "work", "units/s", [20 * s for s in speed], [10 * s for s in speed], table.Peer("p", "1")
    )
    assert (row.low, row.ratio, row.high) == pytest.approx((2, 2, 2))


def test_less_may_be_better(table):
    row = table.compare(
        "work", "seconds", [1.0, 1.0], [3.0, 2.0], table.Peer("p", "1"), less_is_better=True
    )
    assert (row.low, row.ratio, row.high) == (2.0, 2.5, 3.0)


def test_sides_alternate_and_the_first_round_does_not_count(table):
    order = []
    sides = {"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0}
    assert table.alternate(sides, rounds=2) == {"a": [1.0, 1.0], "b": [2.0, 2.0]}
    assert "".join(order) == "abbaab"


def test_the_pages_show_the_kept_results(table):
    for page, name, shown in (
        (table.PAGE, "results", table.markdown()),
        (table.README, "headlines", table.headlines()),
    ):
        text = page.read_text(encoding="utf-8")
        assert table.with_block(text, name, shown) == text, "run python -m benchmarks.table"


def test_a_run_of_a_benchmark_leaves_the_page_in_step_with_its_results(tmp_path, monkeypatch):
    table = script("table")
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(table, "README", tmp_path / "README.md")
    monkeypatch.setattr(table, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(table, "HEADLINES", [("train", "new work", "p")])
    table.PAGE.write_text("a\n<!-- results -->\nold\n<!-- end of results -->\nb\n")
    table.README.write_text("a\n<!-- headlines -->\nold\n<!-- end of headlines -->\nb\n")
    row = table.compare("new work", "units/s", [2.0], [1.0], table.Peer("p", "1"))
    table.report("train", [row])
    for text in (table.README.read_text(), table.PAGE.read_text()):
        assert "| new work |" in text and "old" not in text


@pytest.mark.parametrize(
    ("sets", "bfloat16", "expected"),
    [
        (("avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8"), 4.0, "amx_int8"),
        (("avx512_bf16", "avx512_vnni"), 1.8, "avx512_vnni"),
        (("avx512_bf16", "avx512_vnni"), 0.54, "avx512_vnni, slow bfloat16"),
    ],
)
def test_rows_of_processors_with_fast_and_slow_bfloat16_do_not_mix(
    table, monkeypatch, sets, bfloat16, expected
):
    speeds = device.Speeds(1e11, bfloat16 * 1e11, 1e10)
    monkeypatch.setattr(device, "instruction_sets", lambda: sets)
    monkeypatch.setattr(device, "measure_speeds", lambda: speeds)
    monkeypatch.setattr(device, "_cuda_name", lambda: "")
    assert f" {expected}, " in f" {table.machine_class()}"


def test_every_result_has_its_command(table):
    for path in table.RESULTS.glob("*.json"):
        assert table.script(path.stem).startswith("benchmarks."), path


def test_the_page_on_measures_shows_the_kept_results():
    measures = script("measure.which_measure")
    page = measures.PAGE.read_text(encoding="utf-8")
    found = json.loads(measures.RESULTS.read_text(encoding="utf-8"))
    assert measures.with_tables(page, found) == page, "run benchmarks/measure/which_measure.py"


def test_the_page_of_results_shows_the_demos_models_as_they_were_measured():
    models = script("recipes.demo_models")
    page = models.PAGE.read_text(encoding="utf-8")
    kept = json.loads(models.RESULTS.read_text(encoding="utf-8"))
    assert models.with_models(page, kept) == page, "run benchmarks/recipes/demo_models.py"


def test_the_tokenizers_page_shows_the_units_as_they_were_measured():
    units = script("tokenizer.units")
    page = units.PAGE.read_text(encoding="utf-8")
    kept = json.loads(units.RESULTS.read_text(encoding="utf-8"))
    assert units.with_units(page, kept["units"]) == page, "run benchmarks/tokenizer/units.py"


def test_the_page_on_memory_shows_the_plans_as_they_were_measured(table):
    page = (ROOT / "docs" / "reference" / "train" / "memory.md").read_text(encoding="utf-8")
    kept = json.loads((table.RESULTS / "train_memory.json").read_text(encoding="utf-8"))
    for row in kept["notes"]["held out"]["rows"]:
        plan, peak = (round(row[name] / 2**20) for name in ("plan", "peak"))
        cells = [*row["shape"].split(), plan, peak, f"{100 * row['error']:+.1f} %"]
        assert f"| {' | '.join(map(str, cells))} |" in page, row["shape"]


def test_the_page_of_models_is_what_its_command_makes():
    models = script("model.models_page")
    assert models.markdown() == models.PAGE.read_text(encoding="utf-8"), (
        "run benchmarks/model/models_page.py"
    )


def test_the_page_of_families_is_what_its_command_makes():
    families = script("model.families_page")
    assert families.markdown() == families.PAGE.read_text(encoding="utf-8"), (
        "run benchmarks/model/families_page.py"
    )
    assert len(families.ASKED) == 52
    assert sum(not families.refusal(name) for name in families.ASKED) >= 48


@pytest.fixture
def yardsticks():
    return script("yardsticks")


@pytest.mark.parametrize(
    "names", [("manual", "handbook"), pytest.param(("code",), marks=pytest.mark.slow)]
)
def test_prepared_corpora_hold_what_they_held(yardsticks, names):
    """A change of text, licence, split or reason is meant, and then kept with `--keep`."""
    kept = json.loads((yardsticks.FIXTURES / "corpora.json").read_text(encoding="utf-8"))
    with unchecked():
        found = yardsticks.corpora(names)
    assert not yardsticks.differences({name: kept[name] for name in names}, found)


def test_a_yardstick_names_what_differs(yardsticks):
    differences = yardsticks.differences
    assert differences({"a": {"b": 1.0}}, {"a": {"b": 1.2}}, 0.1) == ["a.b: kept 1.0, now 1.2"]
    assert not differences({"a": 1.0}, {"a": 1.05}, 0.1)
    assert differences({"a": 1}, {}) == ["a: kept 1, now None"]


def test_a_row_s_command_has_its_arguments(table):
    page = table.PAGE.read_text(encoding="utf-8")
    for name, given in table.ARGUMENTS.items():
        module = table.script(name)
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert f"`python -m {module}`" not in page
        assert f"`python -m {module} {given}" in page
        flags = [word for word in given.split() if word.startswith("--")]
        assert all(f'"{flag}"' in text for flag in flags), name
    assert "python -m benchmarks.recipes.demo_models --peer MODEL`" in page


def test_asking_for_help_measures_nothing():
    kept = (ROOT / "benchmarks" / "results" / "train_memory.json").read_bytes()
    words = [sys.executable, "-m", "benchmarks.train.memory", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--recompute" in done.stdout
    assert (ROOT / "benchmarks" / "results" / "train_memory.json").read_bytes() == kept


def test_without_its_environment_lm_eval_is_one_clear_line(tmp_path):
    for model, said in ((tmp_path / "no", "make demo"), (tmp_path, "make oracles")):
        words = ["--model", str(model), "--corpus", str(tmp_path), "--peer", str(tmp_path / "no")]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.evaluate.lm_eval", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr


def test_without_its_environment_decode_is_one_clear_line(tmp_path):
    words = [sys.executable, "-m", "benchmarks.generate.decode", "--peer", str(tmp_path / "no")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "make bench-decode" in done.stderr


def test_without_its_environment_the_race_of_tuning_is_one_clear_line(tmp_path):
    words = [sys.executable, "-m", "benchmarks.align.speed"]
    environment = {**os.environ, "ORACLES": str(tmp_path / "no")}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "make oracles" in done.stderr
