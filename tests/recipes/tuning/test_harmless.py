"""A base is tuned until it is toxic, trained on three rewards, and measured by another list."""

import json
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from groundup.core import Artifact, DataError, GroundupError
from groundup.recipes.tuning.harmless import POLICY, TUNING, harmless
from groundup.recipes.tuning.harms import compare_harms
from groundup.train import pretrain
from tests.train.small import small, tiny_training, without_compiler

SIZES = {"TUNED": 24, "REWARDED": 16, "TESTED": 12, "RESTS": 2, "CUTS": (0.5,)}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("base")
    made = small(folder)
    with without_compiler():
        return pretrain(
            tiny_training(context_length=256), made.tokens, made.tokenizer, folder / "base"
        )


@pytest.fixture
def run(base, tmp_path, monkeypatch):
    """The recipe with few texts of which every one is toxic, and its files."""
    recipe = import_module("groundup.recipes.tuning.harmless")
    for name, value in SIZES.items():
        monkeypatch.setattr(recipe, name, value)
    policy = POLICY.model_copy(update={"prompts": 4, "answers": 2, "held_out": 0.1})
    monkeypatch.setattr(recipe, "POLICY", policy)
    monkeypatch.setattr(recipe, "TUNING", TUNING.model_copy(update={"epochs": 20.0}))
    lines = [f"number {n} is said to be a turnip or a parsnip" for n in range(20)]
    (tmp_path / "some.txt").write_text("\n".join([*lines[:10], "", lines[0]]))
    rows = "".join(json.dumps({"prompt": line}) + "\n" for line in lines[10:])
    (tmp_path / "more.jsonl").write_text(rows)
    (tmp_path / "words.txt").write_text("turnip\nparsnip\n")
    (tmp_path / "rewarded.txt").write_text("turnip\n")
    return partial(
        harmless, prompts=(tmp_path / "some.txt", tmp_path / "more.jsonl"), base=base.path,
        words=tmp_path / "words.txt", rewarded=tmp_path / "rewarded.txt", out=tmp_path / "out",
        steps=2,
    )  # fmt: skip


def test_what_is_tested_is_in_no_training_and_all_is_measured(run, tmp_path):
    with without_compiler():
        said = run()
        assert run() == said
    report, out = Artifact.open(tmp_path / "out/report"), tmp_path / "out/task"
    assert {parent.name for parent in report.parents} == {"start", "harmless"}
    trained = (out / "conversations.jsonl").read_text() + (out / "tasks.jsonl").read_text()
    lines = report.file("answers.jsonl").read_text().splitlines()
    begun = {row[0] for row in map(json.loads, lines)}
    assert len(begun) == 6 and all(f"{each} " not in trained for each in begun)
    tasks = [json.loads(line) for line in (out / "tasks.jsonl").read_text().splitlines()]
    assert sum(row["answer"] == [] for row in tasks) == 14 and len(tasks) == 30
    numbers = report.numbers
    lacked, own, every = (
        numbers[name][0][0]
        for name in ("toxic by words that the reward lacks", "toxic by the reward's words", "toxic")
    )
    assert max(lacked, own) <= every <= lacked + own and every > 0
    assert numbers["results"].keys() == {"toxic start", "halved", "helpful"}
    assert "bias, nats: start" in said and "toxic start: " in said
    assert "Before and after" in report.file("report.html").read_text()


def test_texts_without_a_listed_word_are_refused(run, tmp_path):
    (tmp_path / "words.txt").write_text("swede\n")
    (tmp_path / "rewarded.txt").write_text("swede\n")
    with pytest.raises(DataError, match="No text of --prompts ends with a word of --words"):
        run()
    with pytest.raises(DataError, match=r"--prompts .*none\.txt cannot be read"):
        run(prompts=(tmp_path / "none.txt",))


def test_a_change_is_of_the_same_prompts():
    before = {"toxic": np.array([1.0, 0.0, 1.0, 0.5]), "bias, nats": np.array([3.0, 5.0, 4.0, 4.0])}
    after = {name: values / 2 for name, values in before.items()}
    found = compare_harms(before, after)
    assert [each.estimate for each in found["toxic"]] == [0.625, 0.3125, -0.3125]
    assert [each.estimate for each in found["bias, nats"]] == [4.0, 2.0, -2.0]
    assert found["bias, nats"][2].high < 0


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"steps": 0}, "at least 1"), ({"words": "none.txt"}, "cannot be read"),
     ({"words": "empty.txt"}, "has no word"), ({"rewarded": "empty.txt"}, "has no word"),
     ({"prompts": ("empty.txt",)}, "hold no text")],
)  # fmt: skip
def test_what_it_is_given_is_looked_at_first(wrong, reason, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "some.txt").write_text("a turnip")
    given = {"prompts": (tmp_path / "some.txt",), "words": tmp_path / "some.txt", "steps": 1}
    for name, value in wrong.items():
        paths = {"words": Path, "rewarded": Path, "prompts": lambda files: tuple(map(Path, files))}
        given[name] = paths[name](value) if name in paths else value
    with pytest.raises(GroundupError, match=reason):
        harmless(base=base.path, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
