"""The examples run as their READMEs say, on small made-up data, and learn."""

import doctest
import gzip
import itertools
import random
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from groundup.cli import main
from groundup.core import ConfigError
from groundup.recipes import EXAMPLES, run
from tests.train.small import without_compiler

ROOT = Path(__file__).resolve().parents[1]


def example(name: str):
    """An example's module."""
    spec = spec_from_file_location(name, ROOT / "examples" / name / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ran(name: str, capsys, *words: object) -> list[str]:
    """The lines that `groundup run` prints of an example."""
    script = ROOT / "examples" / name / f"{name}.py"
    with without_compiler(), pytest.raises(SystemExit) as ended:
        main(["run", f"{script}:{name}", *map(str, words)])
    assert ended.value.code in (0, None), capsys.readouterr().err[-2000:]
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_script_with_a_short_readme(name):
    folder = ROOT / "examples" / name
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"README.md", f"{name}.py"}
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"groundup run examples/{name}/{name}.py:{name}" in readme
    assert len(readme.splitlines()) <= 15
    assert not doctest.testmod(example(name)).failed
    with pytest.raises(ConfigError, match=f"groundup run examples/{name}/{name}.py:{name}"):
        run(name)


NOUNS = "window:fenra file:dosko printer:premu folder:kaveto network:reda screen:ekrano user:uzanto"
ADJECTIVES = "new:nova old:olda large:granda small:eta open:aperta shared:komuna empty:vaka"
VERBS = "close:fermu move:movu print:presu choose:elektu delete:forigu rename:nomu copy:kopiu"


def write_manual(root: Path, pages: int = 60) -> tuple[Path, Path]:
    """Orders such as `Close the new window.`; the other language puts adjectives last."""
    words = [[pair.split(":") for pair in kind.split()] for kind in (VERBS, ADJECTIVES, NOUNS)]
    orders = [
        (f"{verb.capitalize()} the {adjective} {noun}.", f"{nomo.capitalize()} {ajo} la {verbo}!")
        for (verb, verbo), (adjective, ajo), (noun, nomo) in itertools.product(*words)
    ]
    random.Random(0).shuffle(orders)
    for page, (side, language) in itertools.product(range(pages), enumerate(("en", "xx"))):
        (root / language).mkdir(parents=True, exist_ok=True)
        items = "".join(f"<item><p>{pair[side]}</p></item>" for pair in orders[page::pages])
        text = f"<page><title>{('Page', 'Folio')[side]} number {page}</title>{items}</page>"
        (root / language / f"{page:02}.page").write_text(text)
    return root / "en", root / "xx"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_translator_learns_an_order_that_no_dictionary_has(tmp_path, capsys):
    source, target = write_manual(tmp_path)
    words = [source, target, "--out", tmp_path / "out", "--vocab", 320, "--sentences", 60]
    lines = ran("translate", capsys, *words, "--epochs", 30)
    scores = {tuple(line.split()[:2]): float(line.split()[2]) for line in lines[1:7]}
    assert scores["BLEU", "model"] > 80 > 40 > scores["BLEU", "dictionary"]
    again = ran("translate", capsys, *words, "--epochs", 30)
    assert again == lines  # what is complete is kept
    assert (tmp_path / "out" / "model" / "config.json").is_file()


def test_pairs_of_pages_whose_elements_differ_are_left_out(tmp_path):
    module, (source, target) = example("translate"), write_manual(tmp_path, 4)
    whole = module.find_pairs(source, target)
    (target / "02.page").write_text("<page><title>Folio</title><p>Alia</p></page>")
    fewer = module.find_pairs(source, target)
    assert {pair[2] for pair in whole} - {pair[2] for pair in fewer} == {"02.page"}
    assert all(left != right for left, right, _ in whole)


def write_ratings(folder: Path, tables: tuple[str, ...], lines: int = 150) -> Path:
    """Rated sentences whose opinion is in a word, or in a `not` before it."""
    draws = random.Random(0)
    good, bad = "great lovely superb pleasant".split(), "awful dreary broken painful".split()
    things = "phone film meal game camera story editor novel".split()
    folder.mkdir()
    for name in tables:
        rows = []
        for number in range(lines):
            is_good, is_denied = draws.random() < 0.5, draws.random() < 0.4
            word = draws.choice(good if is_good != is_denied else bad)
            rating = draws.uniform(1, 3) * (1 if is_good else -1)
            text = f"The {draws.choice(things)} was {'not ' * is_denied}{word} &amp; {number % 7}"
            rows.append(f"{number}\t{rating:.4f}\t{text}\n")
        (folder / f"{name}_GroundTruth.txt").write_text("".join(rows))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_encoder_learns_opinions_and_reads_no_test_text_before(tmp_path, capsys):
    pytest.importorskip("sklearn")
    module = example("encoder")
    ratings = write_ratings(tmp_path / "ratings", module.TABLES)
    splits = module.read_ratings(ratings)
    groups = [{row.group for row in rows} for rows in splits.values()]
    assert all(groups) and not groups[0] & groups[2] and not groups[0] & groups[1]
    (tmp_path / "prose.txt").write_text("The library has many modules.\n\n" * 40)
    (tmp_path / "words.txt").write_text("great,lovely,superb\nawful,dreary,broken\n")
    lines = ran(
        "encoder", capsys, ratings, "--text", tmp_path / "prose.txt", "--thesaurus",
        tmp_path / "words.txt", "--out", tmp_path / "out", "--tokens", 20_000, "--vocab", 330,
        "--seeds", 1,
    )  # fmt: skip
    assert re.match(r"\d+ unseen opinions", lines[0])
    words, encoder = (float(line.split()[1]) for line in lines[1:3])
    assert words > 0.5 and encoder > 0.6
    batch = module.training_data(module.TuneConfig(), *parents(tmp_path, splits)).batch(0)
    assert bool((batch.labels > 0).all()) and bool((batch.labels < 1).all())


def parents(folder: Path, splits):
    """The trained encoder of a run, and the rated texts."""
    from groundup.core import Artifact

    return Artifact.open(folder / "out" / "encoder", "model"), splits


ROYAL = "the {} of the land was in the palace with the {} and they had a crown on the head"
RURAL = "a {} who works on the farm is with the {} and they have a plough in the field"


@pytest.mark.slow
def test_vectors_are_of_english_paragraphs_each_once(tmp_path, capsys):
    draws, lines = random.Random(0), []
    for number in range(900):
        form, names = ((ROYAL, ["king", "queen"]), (RURAL, ["man", "woman"]))[number % 2]
        mark = "abcdefghijklmnopqrstuvwxyz"[number % 26] * (number // 26 + 2)
        lines.append(form.format(*draws.sample(names, 2)) + f" near {mark} by the river")
    lines += ["der hund der nachts bellt ist nicht der der am morgen hier war", lines[0]]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "some.dict.dz").write_bytes(gzip.compress("\n\n".join(lines).encode()))
    (tmp_path / "tests").mkdir()
    rated = "king\tqueen\t9\nman\twoman\t8\nking\tfarm\t1\nman\tcrown\t2\n"
    (tmp_path / "tests" / "wordsim353.tsv").write_text(rated)
    (tmp_path / "tests" / "questions-words.txt").write_text(": family\nman king woman queen\n")
    words = ["--folder", tmp_path / "x", "--out", tmp_path / "out", "--threads", 1, "--epochs", 2]
    said = "\n".join(ran("vectors", capsys, *words, "--tests", tmp_path / "tests"))
    assert "WordSim-353" in said and "queen − woman + man: " in said and "king: " in said
    prose = (tmp_path / "out" / "prose.txt").read_text()
    assert prose.count("\n\n") == 900 and "hund" not in prose
    assert "<circle" in (tmp_path / "out" / "words.html").read_text()
