"""--tune asks questions that have a place, and chooses the smallest size within noise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.core import Artifact, ConfigError, Message, Sample
from groundup.documents import Record, read_bytes
from groundup.measure import Interval, TestSetCard, make_testset, read_accesses, read_choices
from groundup.retrieve import ChunkConfig
from groundup.retrieve.chunks.tune import (
    SIZES,
    ChunkResult,
    PlacedQuestion,
    Questions,
    best_beyond_chance,
    measure_chunks,
    size_grid,
    tune,
)

THINGS = ("kettle", "boiler", "ladder", "window", "garden", "engine", "bridge", "candle")
VERBS = ("stands", "belongs", "returns", "measures", "weighs")


def document(name: str = "a.md") -> Record:
    """Sections of five sentences about one thing each."""
    parts = [
        f"## {thing}\n\n" + " ".join(
            f"The old {thing} {verb} near the {thing} house of {name} number {at} since spring."
            for at, verb in enumerate(VERBS)
        )
        for thing in THINGS
    ]  # fmt: skip
    return read_bytes("\n\n".join(parts).encode(), name)


def test_a_passage_is_right_if_it_has_half_of_the_place():
    made = read_bytes(
        b"# Tea\n\nThe kettle boils slowly. Limescale goes with vinegar. It shines.\n\n"
        b"# Cocoa\n\nThe pan is small. Stir it well.\n", "a.md",
    )  # fmt: skip
    start = made.text.index("Limescale")
    end = start + len("Limescale goes with vinegar.")
    right = PlacedQuestion("kettle", made.id, start, end)
    wrong = PlacedQuestion("stir the pan", made.id, start, end)
    partly = PlacedQuestion("kettle", made.id, 0, len(made.text))
    result = measure_chunks([made], ChunkConfig(min_characters=0), [right, wrong, partly])
    assert result.passages == 2 and result.found == [1.0, 0.0, 1.0]
    assert [round(score.estimate, 3) for score in result.scores] == [0.667] * 4


def test_only_what_fits_the_characters_that_are_read_counts():
    words = " ".join(f"word{number}" for number in range(600))
    made = read_bytes(f"Kettle {words}. Kettle ends here.".encode(), "a.txt")
    asked = [PlacedQuestion("kettle", made.id, 100, 120)] * 2
    config = ChunkConfig(max_characters=10_000)
    result = measure_chunks([made], config, asked)
    assert result.found == [0.0, 0.0] and result.scores[0].estimate == 1


def result(size: int, found: list[float]) -> ChunkResult:
    share = sum(found) / len(found)
    scores = [Interval(share, share - 0.1, share + 0.1, 0.95, len(found), len(found))] * 4
    return ChunkResult(ChunkConfig(max_characters=size), 10, scores, found)


def test_the_usual_size_stays_unless_another_is_better_beyond_chance():
    poor, near, best = [0.0] * 50 + [1.0] * 50, [1.0] * 89 + [0.0] * 11, [1.0] * 90 + [0.0] * 10
    results = [result(300, poor), result(600, near), result(1200, best), result(2400, near)]
    for usual, chosen in ((300, 1200), (600, 600), (1200, 1200), (2400, 2400), (500, 1200)):
        found = best_beyond_chance(results, ChunkConfig(max_characters=usual))
        assert found.config.max_characters == chosen
    same = [result(300, near), result(2400, near)]
    assert best_beyond_chance(same, ChunkConfig(max_characters=500)).config.max_characters == 300


def test_the_grid_has_every_size_and_grows_overlap_and_parents_with_it():
    grid = size_grid(ChunkConfig(overlap=120), ["sentence", "parent"])
    assert [each.max_characters for each in grid] == [*SIZES, *SIZES[:3]]
    assert [each.overlap for each in grid] == [30, 60, 120, 240, 30, 60, 120]
    assert [each.parent_characters for each in grid[4:]] == [600, 1200, 2400]
    assert {each.strategy for each in size_grid(ChunkConfig(strategy="fixed"))} == {"fixed"}
    own = ChunkConfig(max_characters=500)
    assert own in size_grid(own), "the usual size is compared too"
    with pytest.raises(ConfigError, match="did you mean `sentence`"):
        size_grid(ChunkConfig(), ["sentense"])


def test_tune_writes_a_curve_for_each_strategy(tmp_path):
    grid = [ChunkConfig(max_characters=300), ChunkConfig(), ChunkConfig(strategy="sentence")]
    page = tmp_path / "new" / "tune.html"
    made = document()
    places = [made.text.index(f"The old {thing} {verb}") for thing in THINGS for verb in VERBS]
    asked = [PlacedQuestion(made.text[at : at + 30], made.id, at, at + 30) for at in places]
    best = tune([made], grid, page, Questions(lambda documents: asked), grid[0])
    assert best in grid
    text = page.read_text()
    assert f"Chosen: {best.strategy}, {best.max_characters} characters, " in text
    assert "better beyond chance, by 40 questions" in text
    assert 'class="line series-1' in text and 'class="dot series-2' in text and "recall@3" in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    for name in ("a.md", "b.md"):
        (tmp_path / "d" / name).write_text(document(name).text)
    return tmp_path / "d"


def write_questions(path: Path, times: int) -> Path:
    rows = [
        {"question": f"What stands near the {thing} house?", "answers": [f"The old {thing} stands"]}
        for thing in THINGS
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*times * rows, {"question": "?"}]))
    return path


def test_the_command_indexes_with_the_chosen_size_and_prints_a_table(folder, run, monkeypatch):
    monkeypatch.setattr("groundup.retrieve.chunks.tune.SIZES", (300, 1200))
    out, asked = folder.parent / "i", write_questions(folder.parent / "mine.jsonl", 2)
    tuned = ("--tune", "--questions", asked)
    code, said, table = run("index", folder, "--out", out, *tuned, "--strategies", "fixed")
    assert code == 0 and (out / "tune.html").is_file()
    assert "in 2,400 characters" in table and table.count("fixed  ") == 2
    assert "Chosen: fixed, " in table and "16 questions about 2 documents" in table
    manifest = (next((out / "snapshots").iterdir()) / "manifest.json").read_text()
    assert '"strategy": "fixed"' in manifest
    assert "sizes of passages of before; other: --set" in run("index", folder, "--out", out)[2]
    assert len(list((out / "snapshots").iterdir())) == 1, "nothing has changed"
    assert run("index", folder, "--out", out, "--set", "chunk.max_characters=900")[0] == 0
    newest = max((out / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime)
    assert '"max_characters": 900' in (newest / "manifest.json").read_text()


def test_questions_of_your_own_decide_where_they_have_a_place(folder, run):
    out, asked = folder.parent / "i", write_questions(folder.parent / "mine.jsonl", 1)
    code, _, said = run("index", folder, "--out", out, "--tune", "--questions", asked)
    assert code == 1 and "8 of 8 questions have an answer that stands in the documents" in said
    assert "give that too" in run("index", folder, "--out", out, "--questions", asked)[2]


def sealed(out: Path, validation: list[Sample]) -> Artifact:
    sample = Sample("s", (Message("user", "What is sealed?"),), ("x",), "sealed.md")
    return make_testset(TestSetCard(name="t"), [sample], {}, out, validation=validation)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_the_validation_part_of_a_test_set_decides_and_what_is_sealed_is_not_read(
    folder, run, monkeypatch, moved
):
    monkeypatch.setattr("groundup.retrieve.chunks.tune.SIZES", (300, 1200))
    samples = list[Sample]()
    for name in ("a.md", "b.md"):
        text = document(name).text
        for thing in THINGS:
            quote = f"The old {thing} weighs"
            start = text.index(quote)
            about = {"document": name, "quote": quote, "start": start, "end": start + len(quote)}
            asked = (Message("user", f"What does the {thing} of {name} do?"),)
            samples.append(Sample(f"{thing} {name}", asked, (quote,), name, about))
    for name, quote in (("often", "The old"), ("lost", "Nowhere")):
        about = samples[0].metadata | {"quote": quote}
        samples.append(replace(samples[0], id=name, metadata=about))
    test = sealed(folder.parent / "t", samples)
    monkeypatch.setattr("groundup.measure.testset.read_samples", None)
    out = folder.parent / "i"
    for name in ("a.md", "b.md")[:moved]:
        (folder / name).write_text("Licensed to all of you.\n\n" + (folder / name).read_text())
    code, _, table = run("index", folder, "--out", out, "--tune", "--test", test.path)
    assert code == 0 and "by 17 questions about 2 documents" in table
    assert "Left out: 1 of 18 questions, whose answer does not stand in the documents" in table
    (choice,) = read_choices(test)
    chosen = table.split("Chosen: ")[1].split(" characters")[0] + " characters"
    assert choice.content == {"who": "index --tune", "chosen": chosen}
    assert read_accesses(test) == [], "nothing is spent"


def test_a_test_set_that_cannot_be_asked_is_refused(folder, run):
    out, none = folder.parent / "i", sealed(folder.parent / "none", [])
    said = run("index", folder, "--out", out, "--tune", "--test", none.path)[2]
    assert "has no validation part" in said and "--questions FILE" in said
    assert "give that too" in run("index", folder, "--out", out, "--test", none.path)[2]
    both = ("--tune", "--test", none.path, "--questions", folder / "a.md")
    for given in (both, ("--tune",)):
        assert "give one of both" in run("index", folder, "--out", out, *given)[2]
    assert not out.exists() and read_choices(none) == []


def test_strategies_without_tune_are_refused(folder, run):
    out = folder.parent / "i"
    assert "give that too" in run("index", folder, "--out", out, "--strategies", "fixed")[2]
    assert not out.exists()


def test_a_page_of_an_earlier_run_does_not_stop_the_next(folder, run):
    out = folder.parent / "i"
    out.mkdir()
    (out / "tune.html").write_text("x")
    assert run("index", folder, "--out", out)[0] == 0
    other = folder.parent / "j"
    other.mkdir()
    (other / "notes.txt").write_text("x")
    asked = write_questions(folder.parent / "mine.jsonl", 2)
    code, _, said = run("index", folder, "--out", other, "--tune", "--questions", asked)
    assert code == 1 and "is not empty and holds no index" in said
