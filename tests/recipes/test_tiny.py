"""The forecast grows with the work, and the last words can be typed as they stand."""

import shlex

import pytest

from groundup.cli import main
from groundup.core import MANIFEST, Config, produce, write_text
from groundup.recipes import RECIPES, run
from groundup.recipes.tiny import (
    OTHER_SECONDS,
    TinyArtifacts,
    _estimate_duration,
    _final_message,
    tiny,
)


class Nothing(Config):
    """No settings."""


def test_the_forecast_grows_with_tokens_and_depth():
    def seconds(tokens: int, depth: int) -> float:
        words = _estimate_duration(tokens, depth).split("about ")[1].split(" on this")[0].split()
        unit = {"s": 1, "min": 60, "h": 3600}
        pairs = zip(words[::2], words[1::2], strict=True)
        return sum(float(number) * unit[name] for number, name in pairs)

    assert seconds(0, 6) == OTHER_SECONDS
    assert seconds(10**8, 2) < seconds(10**8, 6) < seconds(10**9, 6)


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
    for name in (*TinyArtifacts._fields, "report"):
        places = [out / name, *(out / name).glob("snapshots/*")]
        assert any((place / MANIFEST).is_file() for place in places), name
    assert (out / "report" / "report.html").stat().st_size > 10_000
