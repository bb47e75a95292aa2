"""A whole run on a made-up manual: artifacts, verdict, report; and, slow, that it learns."""

import json

import pytest

from groundup.cli import main
from groundup.core import MANIFEST
from groundup.generate import BeamConfig
from groundup.recipes import run
from groundup.recipes.translate import translate
from groundup.recipes.translate.recipe import TranslationRun, _make_report, make
from groundup.recipes.translate.scoring import TranslationScoreConfig
from groundup.recipes.translate.training import TrainingConfig
from groundup.tokenizer import TokenizerConfig
from tests.recipes.translate.manual import write_manual

SMALL = {"vocabulary": TokenizerConfig(vocab_size=320), "licence": "made up"}


def test_the_recipe_is_found_by_name():
    assert run("translate") is translate


def test_a_short_run_makes_everything_and_then_has_nothing_to_do(tmp_path):
    source, target = write_manual(tmp_path)
    scoring = TranslationScoreConfig(sentences=12, beams=BeamConfig(width=2, max_tokens=8))
    training = TrainingConfig(epochs=0.1, validations=1)
    made = make(tmp_path / "out", source, target, training, scoring=scoring, **SMALL)
    assert made.model.numbers["steps"] > 0
    again = make(tmp_path / "out", source, target, training, scoring=scoring, **SMALL)
    assert again == made
    report = _make_report(made, tmp_path / "out")
    page = report.file("report.html").read_text()
    for words in ("A manual", "BLEU above the dictionary", "Close the", "copy", "dictionary"):
        assert words in page
    told = json.loads(report.file("report.json").read_text())
    assert len(told["samples"]) == 12 and told["models"] == ["copy", "dictionary", "model"]
    for name in TranslationRun._fields:
        assert (tmp_path / "out" / name / MANIFEST).is_file()


def test_folders_that_are_none_are_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "translate", "--source", str(tmp_path / "a"), "--target", str(tmp_path / "b"),
              "--out", str(tmp_path / "out")])  # fmt: skip
    assert ended.value.code not in (0, None)
    said = capsys.readouterr().err.strip().splitlines()
    assert "is no folder" in said[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_learns_order_that_no_dictionary_has(tmp_path):
    source, target = write_manual(tmp_path)
    training = TrainingConfig(epochs=25.0)
    made = make(tmp_path / "out", source, target, training, **SMALL)
    scores = json.loads(made.assessment.file("assessment.json").read_text())["scores"]["BLEU"]
    assert scores["model"]["estimate"] > 80 > 40 > scores["dictionary"]["estimate"]
    assert scores["model - dictionary"]["low"] > 0
    assert made.verdict.numbers["passed"]
