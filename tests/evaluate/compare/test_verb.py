"""`groundup compare` as a person calls it, and in bounded memory."""

import json
import subprocess
import sys

import pytest

from groundup.cli import main
from groundup.core import Artifact, ArtifactError, record
from groundup.evaluate.compare.verb import compare
from tests.evaluate.compare.reports import arithmetic, make_report, rolling


def reports(folder, number: int = 60):
    """Two reports, the second one worse at sums."""
    return [
        make_report(folder / name, name, [
            arithmetic(n % 10 < right for n in range(number)), rolling([100.0] * 5),
        ]).path
        for name, right in (("base", 8), ("tuned", 2))
    ]  # fmt: skip


def test_everything_is_written_once_and_kept(tmp_path):
    paths = reports(tmp_path)
    first = compare(paths, out=tmp_path / "out")
    made = Artifact.open(tmp_path / "out", "report")
    assert {"index.html", "compare.json", "compare.md", "compare.xml"} <= made.files.keys()
    assert made.numbers["worse"] == 1 and made.numbers["comparisons"] == 2
    again = compare(paths, out=tmp_path / "out")
    assert again.comparison == first.comparison
    assert Artifact.open(tmp_path / "out").id == made.id
    with pytest.raises(ArtifactError, match="made from another A"):
        compare(paths[::-1], out=tmp_path / "out")


def test_what_is_no_evaluation_is_told(tmp_path):
    paths = reports(tmp_path)
    compare(paths, out=tmp_path / "out")
    with pytest.raises(
        ArtifactError,
        match="Expected a report of `groundup evaluate`; got one of the stage 'compare'",
    ):
        compare([paths[0], tmp_path / "out"])
    with pytest.raises(ArtifactError, match="there is no such folder"):
        compare([paths[0], tmp_path / "nothing"])


def test_the_command_prints_the_table_or_json(tmp_path, capsys):
    paths = [str(path) for path in reports(tmp_path)]

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *paths, *words])
        assert not ended.value.code
        return capsys.readouterr().out

    table = run("--out", str(tmp_path / "out"))
    assert "worse" in table and f"Page: {tmp_path / 'out' / 'index.html'}" in table
    found = json.loads(run("--json"))
    assert found["tasks"][0]["measures"][0]["versus"][0]["verdict"] == "worse"
    record.set_output_mode("silent")


@pytest.mark.slow
def test_100_000_samples_in_bounded_memory(tmp_path):
    """The peak grows by a few numbers a sample, not by their texts."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from groundup.evaluate.compare.verb import compare\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "compare([Path(sys.argv[1]), Path(sys.argv[2])], out=Path(sys.argv[3]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    long = "A long answer of a few hundred letters that says little. " * 8
    paths = []
    for name in ("base", "tuned"):
        made = arithmetic(n % 3 > 0 for n in range(100_000))
        rows = tuple(row | {"prompt": long} for row in made.rows)
        paths.append(str(make_report(tmp_path / name, name, [made._replace(rows=rows)]).path))
    done = subprocess.run(
        [sys.executable, "-c", code, *paths, str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 200_000  # kB; the reports themselves take 170 MB
    assert len(list((tmp_path / "out" / "samples").iterdir())) == 1000
