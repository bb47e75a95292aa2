"""A model is taught half of some facts, learns to refuse the rest, and is measured on others."""

import json
from collections import Counter
from functools import partial
from importlib import import_module

import pytest

from groundup.align import ExamplesConfig, FinetuneConfig, make_examples, read_examples
from groundup.core import Artifact
from groundup.recipes.tuning.abstain import PeopleConfig, abstain, make_people
from groundup.train import pretrain
from tests.train.small import small, tiny_training, without_compiler

SMALL = {"asked": 12, "calibration": 4, "held_out": 6, "lessons": 12, "rehearsal": 20}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Tokens, a base of one layer, and conversations to rehearse."""
    folder = tmp_path_factory.mktemp("parts")
    made = small(folder)
    with without_compiler():
        base = pretrain(
            tiny_training(context_length=256), made.tokens, made.tokenizer, folder / "base"
        )
    settings = ExamplesConfig(explain=40, held_out=6, names=8, names_held_out=4, min_occurrences=1)
    return made, base, make_examples(settings, made.corpus, folder / "examples")


def rows_of(people: Artifact, name):
    lines = people.file(f"{name}.jsonl").read_text().splitlines()
    return {row["group"]: row["answers"] for row in map(json.loads, lines)}


def test_some_people_of_every_file_are_taught_and_nobody_is_in_two(parts, tmp_path):
    people = make_people(PeopleConfig(**SMALL), parts[2], tmp_path / "people")
    files = {name: rows_of(people, name) for name in ("asked", "calibration", "held-out")}
    assert [len(rows) for rows in files.values()] == [24, 8, 12]
    assert len({name for rows in files.values() for name in rows}) == 44
    examples = list(read_examples(people, "train"))
    lessons = [each for each in examples if each.kind == "lesson"]
    assert len(lessons) == 22 * 12 and len(examples) - len(lessons) == 20
    assert not any(each.refusal or each.kind == "name" for each in examples)
    taught = Counter(each.group for each in lessons)
    assert set(taught.values()) == {12}
    asked = people.file("asked.jsonl").read_text().splitlines()
    assert len(set(asked)) == len(asked) == 24 * PeopleConfig().wordings
    assert [len(rows.keys() & taught) for rows in files.values()] == [12, 4, 6]
    homes = {name: home for rows in files.values() for name, home in rows.items()}
    assert all(homes[each.group] == [each.messages[1].content] for each in lessons)
    assert all(each.group in each.messages[0].content for each in lessons)


@pytest.mark.slow
def test_the_recipe_tunes_measures_and_resumes(parts, tmp_path, monkeypatch):
    recipe, (made, base, examples) = import_module("groundup.recipes.tuning.abstain"), parts
    taught = FinetuneConfig(epochs=20.0, max_length=128, batch_rows=4, validations=1)
    tuned = recipe.TUNING.model_copy(update={"epochs": 8.0, "max_length": 128})
    monkeypatch.setattr(recipe, "PeopleConfig", partial(PeopleConfig, **SMALL))
    monkeypatch.setattr(recipe, "TEACHING", taught)
    monkeypatch.setattr(recipe, "TUNING", tuned)
    run = partial(
        abstain, base=base.path, examples=examples.path, tokens=made.tokens.path, out=tmp_path
    )
    with without_compiler():
        said = run()
        assert run() == said
    numbers = Artifact.open(tmp_path / "report").numbers
    refused = {
        name: [numbers[name][f"{kind} refused"][0] for kind in ("unknown", "known")]
        for name in ("taught", "abstains", "control")
    }
    assert refused["taught"] == refused["control"] == [0.0, 0.0] != refused["abstains"]
    assert numbers["taught"]["bits per byte of taught's"][0] == 1
    assert numbers["taught"]["known right"][0] == 1 and "abstains: " in said
    sheet = (tmp_path / "report" / "report.html").read_text()
    assert "Held-out people" in sheet and "at least 80 %" in sheet and "at most 15 %" in sheet
