"""Vectors of words from the prose that Debian packages carry, tested, drawn and told on one page.

    folders -> prose -> vectors -> report      each an artifact under `out`; run again, they stay

Packages whose prose comes to more than 50 MB, and how to unpack them, stand in prose.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    digest,
    hash_file,
    page,
    produce,
    record,
    write_json,
    write_text,
)
from groundup.documents import fingerprint_folder
from groundup.embeddings import (
    STYLE,
    Analogies,
    Correlation,
    Vectors,
    VectorsConfig,
    Word2VecConfig,
    answer_analogies,
    load_vectors,
    rating_correlation,
    read_analogies,
    read_ratings,
    scatter_plot,
    train_vectors,
    tsne,
)
from groundup.measure import Interval

from .prose import DICTIONARIES, SUFFIXES, write_prose

LEAST_BYTES = 50_000_000
"""Prose from which vectors say something about general English."""
RATINGS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
ANALOGIES = "questions-words.txt"
ASKED = (("woman", "queen", "man", "king"), ("man", "king", "woman", "queen"))
DRAWN = ("king", "river", "computer", "bread", "anger")
"""Words whose neighbours are listed and drawn."""
SHOWN = 18
PICTURE = (
    "Each colour is a word and its neighbours; t-SNE keeps who is near whom, and distances between "
    "groups mean nothing."
)


class ProseConfig(Config):
    """Which prose."""

    least_bytes: int = LEAST_BYTES
    """Less is refused."""
    source_digest: str = ""
    """Hash of everything read; filled in by the stage."""


class VectorsReportConfig(Config):
    """What the vectors are held against."""

    tests_digest: str = ""
    """Hash of the test files."""


class VectorsAnswer(NamedTuple):
    """An analogy, its best answers, and the place of the one that people give."""

    question: str
    wanted: str
    rank: int
    best: list[str]


def vectors(
    folder: Sequence[Path] = (),
    *,
    out: Path = Path("runs/vectors"),
    tests: Path | None = None,
    least_bytes: int = LEAST_BYTES,
    epochs: int = 5,
    threads: int = 0,
) -> str:
    """Train vectors on packages' English prose, test them, and write a page.

    folder       a folder of unpacked packages; name several by repeating the flag
    out          where the artifacts go
    tests        folder that holds wordsim353.tsv, simlex999.txt, questions-words.txt (gensim's
                 wheel has them in test/test_data); without it the page has no tests
    least_bytes  less prose than this is refused
    epochs       passes over the prose
    threads      0: all cores
    """
    if not folder:
        raise ConfigError(
            "Give --folder DIR with unpacked packages, such as those of dict-gcide, anarchism and "
            "python3.13-doc: dpkg-deb -x PACKAGE.deb DIR."
        )
    prose = gather([Path(one) for one in folder], least_bytes, out / "prose")
    skip_gram = Word2VecConfig(model="skip_gram", epochs=epochs)
    config = VectorsConfig(word2vec=skip_gram, threads=threads)
    made = train_vectors(config, out / "vectors", text=[prose.file("prose.txt")])
    report = _write_page(prose, made, tests, out / "report")
    told = ", ".join(f"{name} {value}" for name, value in report.numbers.items())
    return f"{told}\nThe report is {report.path / 'report.html'}"


def gather(folders: list[Path], least_bytes: int, out: Path) -> Artifact:
    """The English prose of folders as an artifact; DataError if it is too little."""
    marks = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; expected an unpacked package.")
        marks += [list(pair) for pair in fingerprint_folder(folder, suffixes=SUFFIXES)]
        marks += [hash_file(path) for path in sorted(folder.rglob(DICTIONARIES))]
    config = ProseConfig(least_bytes=least_bytes, source_digest=digest(marks))

    def write(draft: Draft) -> None:
        found = write_prose(folders, draft.file("prose.txt"))
        if found.bytes < least_bytes:
            found.path.unlink()
            raise DataError(
                f"The folders hold {record.format_bytes(found.bytes)} of English prose, and "
                f"least_bytes="
                f"{least_bytes:,} asks for more; unpack more packages (see `groundup run vectors "
                "--help`) or lower it."
            )
        draft.numbers |= {"bytes": found.bytes, "sources": found.sources}

    return produce(
        out, kind="documents", stage="prose", version=1, config=config, parents={}, write=write
    )


def _write_page(prose: Artifact, made: Artifact, tests: Path | None, out: Path) -> Artifact:
    """Hold the vectors against the tests and write the report."""
    names = [*RATINGS.values(), ANALOGIES]
    files = sorted(tests.rglob("*")) if tests else []
    paths = {path.name: path for path in files if path.name in names}
    if tests and not paths:
        raise ConfigError(f"{tests} holds none of {', '.join(names)}.")
    config = VectorsReportConfig(
        tests_digest=digest([hash_file(paths[name]) for name in sorted(paths)])
    )

    def write(draft: Draft) -> None:
        known = load_vectors(made.path)
        ratings = {
            name: rating_correlation(known, read_ratings(paths[file]))
            for name, file in RATINGS.items()
            if file in paths
        }
        analogies = None
        if ANALOGIES in paths:
            analogies = answer_analogies(known, read_analogies(paths[ANALOGIES]))
        answers = [
            answer_by_vectors(known, *one) for one in ASKED if all(word in known for word in one)
        ]
        draft.numbers |= numbers(ratings, analogies, answers)
        sheet = _report_page(known, prose, made, ratings, analogies, answers=answers)
        write_text(draft.file("report.html"), sheet.render())
        write_json(draft.file("report.json"), draft.numbers)

    return produce(
        out, kind="report", stage="vectors_report", version=1, config=config,
        parents={"prose": prose, "vectors": made}, write=write,
    )  # fmt: skip


def answer_by_vectors(known: Vectors, a: str, b: str, c: str, wanted: str) -> VectorsAnswer:
    """Answer one analogy."""
    best = [found.word for found in known.analogy(a, b, c)]
    return VectorsAnswer(f"{b} − {a} + {c}", wanted, known.rank(a, b, c, wanted), best)


def numbers(
    ratings: dict[str, Correlation], analogies: Analogies | None, answers: list[VectorsAnswer]
) -> dict[str, float]:
    """What the report is about, by name."""
    found: dict[str, float] = {}
    for name, one in ratings.items():
        if isinstance(one.spearman, Interval):
            found[name] = round(one.spearman.estimate, 4)
    if analogies is not None and isinstance(analogies.accuracy, float):
        found["analogies"] = round(analogies.accuracy, 4)
    return found | {f"rank of {one.wanted}": one.rank for one in answers}


def _report_page(
    known: Vectors, prose: Artifact, made: Artifact, ratings: dict[str, Correlation],
    analogies: Analogies | None, *, answers: list[VectorsAnswer],
) -> page.HtmlPage:  # fmt: skip
    """The page: the answer, the tests, neighbours, the picture, where it came from."""
    lead = "; ".join(f"{one.question} gives {one.wanted} at rank {one.rank}" for one in answers)
    sheet = page.HtmlPage("Vectors of words", f"{lead}." if lead else "Trained.", style=STYLE)
    sheet.add(page.headline_figures(_figures(known, made, ratings, analogies)))
    rows = [[one.question, one.wanted, one.rank, ", ".join(one.best)] for one in answers]
    columns = ["Question", "Wanted", page.TableColumn("Rank", True), "Best answers"]
    sheet.section(
        "Analogies", "Words of the question are left out of its answers.",
        page.table_element("By the sum of unit vectors", columns, rows),
        _sections_table(analogies) if analogies else page.Html(""),
    )  # fmt: skip
    centres = [word for word in DRAWN if word in known]
    groups = {word: [one.word for one in known.neighbours(word, SHOWN)] for word in centres}
    sheet.section(
        "Neighbours", "The words whose vectors lie nearest, the nearest first.",
        page.table_element("Neighbours", ["Word", "Nearest"],
                   [[word, ", ".join(near[:10])] for word, near in groups.items()]),
    )  # fmt: skip
    if centres:
        sheet.section("Picture", PICTURE, _picture(known, groups))
    sources = sorted(prose.numbers["sources"].items(), key=lambda pair: -pair[1])
    sheet.section(
        "Where it came from", "English paragraphs, each once, by package or dictionary.",
        page.table_element("Prose", ["Source", page.TableColumn("Size", True)],
                   [[name, record.format_bytes(size)] for name, size in sources]),
    )  # fmt: skip
    return sheet


def _figures(
    known: Vectors, made: Artifact, ratings: dict[str, Correlation], analogies: Analogies | None
) -> list[page.HeadlineFigure]:
    """The headline."""
    found = []
    for name, one in ratings.items():
        rho, note = one.spearman, f"{one.asked - one.unknown} of {one.asked} pairs"
        if isinstance(rho, Interval):
            found.append(page.HeadlineFigure(name, rho.estimate, "ρ", rho.low, rho.high, note))
    if analogies is not None and isinstance(analogies.accuracy, float):
        share = 100 * analogies.accuracy
        found.append(
            page.HeadlineFigure(
                "Analogies", share, "%", note=f"of {analogies.num_questions:,} asked"
            )
        )
    text = f"of {made.numbers['text_words']:,} in the prose"
    return [
        *found,
        page.HeadlineFigure("Words", float(len(known)), note=text),
        page.HeadlineFigure("Time", made.seconds, "s", note=f"{made.numbers['threads']} threads"),
    ]


def _sections_table(analogies: Analogies) -> page.Html:
    """Google's analogies by section."""
    columns = ["Section", *(page.TableColumn(name, True) for name in ("Right", "Asked", "Unknown"))]
    rows = [[one.name, one.right, one.asked, one.unknown] for one in analogies.sections]
    return page.table_element("Google's analogies", columns, rows)


def _picture(known: Vectors, groups: dict[str, list[str]]) -> page.Html:
    """The groups in two dimensions, every word once."""
    place: dict[str, int] = {}
    for number, (word, near) in enumerate(groups.items()):
        for one in (word, *near):
            place.setdefault(one, number)
    points = tsne(known.unit_vectors[[known.row_of(word) for word in place]])
    return scatter_plot("Words by t-SNE", list(place), points, list(place.values()))
