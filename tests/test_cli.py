"""One line says what is wrong; its exit code says whose fault it was; stdout holds results only."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup import cli
from groundup.core import (
    MANIFEST,
    Artifact,
    GateFailed,
)
from groundup.corpus import CorpusConfig, corpus
from groundup.flags import import_target
from groundup.measure import Interval, at_most, check_requirement, write_verdict
from groundup.recipes import RECIPES
from groundup.verbs import VERBS, usage
from tests.artifacts import artifact

FOLDER = "Bücher und 文書"


@pytest.fixture
def documents(tmp_path):
    """Six texts in a folder with spaces and letters of two scripts."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number, thing in enumerate("lamp tree bridge ledger engine window".split()):
        text = f"The {thing} stands at place {number}.\n\nNobody moves the {thing} at night.\n"
        (folder / f"über {thing}.txt").write_text(text, encoding="utf-8")
    return folder


def test_every_verb_has_a_function_and_help(run):
    for verb in VERBS:
        assert callable(import_target(verb.target)), verb.name
        code, out, err = run(*verb.name.split(), "--help")
        assert (code, err) == (0, ""), verb.name
        assert f"groundup {verb.name}" in out
        assert verb.name in usage() and verb.help in usage()


def test_the_help_of_a_stage_shows_artifacts_settings_and_its_docstring(run):
    out = run("pretrain", "--help")[1]
    for part in ("--tokens", "--tokenizer", "--out", "--config", "--set", "shards made by"):
        assert part in out
    assert run("run", "tiny", "--help")[1].count("--epochs") == 1
    assert "licence=" in run("import", "--help")[1]
    assert "source_digest" not in run("import", "--help")[1]


def test_an_optional_configuration_takes_settings(run, documents, tmp_path):
    words = ["index", documents, "--out", tmp_path / "i", "--set", "chunk.max_characters=900"]
    code, told, _ = run(*words, "--json")
    assert code == 0 and json.loads(told)["config"]["chunk"]["max_characters"] == 900


def test_help_needs_no_torch():
    script = (
        "import sys; from groundup.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'numpy.testing', 'tokenizers', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "pretrain" in done.stdout


def test_python_m_groundup_is_the_command(run):
    words = [sys.executable, "-m", "groundup", "--version"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, run("-V")[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pretran --out x", "There is no command `pretran`; did you mean `groundup pretrain`?"),
        ("exampels make", "did you mean `groundup examples "),
        ("examples mkae", "did you mean `groundup examples make` or `groundup examples import`"),
        ("zzz", "There is no command `zzz`; see `--help`."),
        ("corpus x --uot y", "--uot. Did you mean --out?"),
        ("corpus x --out y --set sede=1", "CorpusConfig has no key `sede`; did you mean `seed`?"),
        ("corpus x --out y --set seed", "--set expects key=value; got 'seed'."),
        ("corpus x --out y --set seed=a", "CorpusConfig.seed: Input should be a valid integer"),
        ("corpus x --out y --config none.toml", "Cannot read the configuration none.toml"),
        ("corpus x", "--out"),
        ("doctor there", "there"),
        (
            "run tini",
            f"There is no recipe `tini`; expected {', '.join(RECIPES)} or FILE.py:function.",
        ),
        ("run none.py:main", "There is no recipe file none.py"),
        ("run tiny --dept 3", "--dept. Did you mean --depth?"),
    ],
)
def test_wrong_use_is_one_line_with_the_nearest_right_one(words, said, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    code, out, err = run(*words.split())
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("groundup: ") and said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_wrong_use_is_told_by_the_first_process_and_by_others_if_the_first_goes_on(
    run, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    ended = lambda seconds: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731  as torchrun does
    # The command line's own name for it: `time.sleep` itself is every thread's.
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=ended))
    assert run("shw") == (2, "", "")
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=lambda seconds: None))
    assert run("shw")[2].count("There is no command `shw`") == 1
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=ended))
    monkeypatch.setenv("RANK", "0")
    assert run("shw")[2].count("There is no command `shw`") == 1


def test_with_json_an_error_is_an_event(run):
    code, out, err = run("pretran", "--json")
    assert (code, out) == (2, "")
    event = json.loads(err)
    assert event["event"] == "error" and event["exit_code"] == 2
    assert event["message"].startswith("There is no command `pretran`")


def test_with_json_progress_is_told_in_events(run, documents, tmp_path):
    err = run("index", documents, "--out", tmp_path / "i", "--json")[2]
    events = [json.loads(line) for line in err.splitlines()]
    (last,) = [event for event in events if event.get("done") == event.get("total", 0)]
    assert (last["stage"], last["total"]) == ("index", 6) and events[-1]["event"] == "say"


def test_trace_shows_where_an_error_came_from(run, tmp_path):
    assert "Traceback" not in run("show", tmp_path)[2]
    code, _, err = run("show", tmp_path, "--trace")
    assert code == 1 and "Traceback" in err and "in show" in err


def test_a_stage_runs_from_words_settings_and_a_file(run, documents, tmp_path):
    settings = tmp_path / "corpus.toml"
    settings.write_text("seed = 3\nmin_chars = 5\n")
    out = tmp_path / "ein Korpus é"
    words = ["corpus", documents, "--out", out, "--config", settings, "--set", "min_chars=7"]
    code, told, err = run(*words)
    made = Artifact.open(out, "corpus")
    assert code == 0 and told.startswith(f"corpus {made.id[:12]}") and str(out) in told
    assert made.config["seed"] == 3 and made.config["min_chars"] == 7
    assert "documents" in err  # progress is no result
    code, told, _ = run(*words, "--json")
    assert json.loads(told)["id"] == made.id  # done already
    config = CorpusConfig(seed=3, min_chars=7)
    assert corpus(config, documents, tmp_path / "by hand").id == made.id


def test_an_answer_is_text_with_places_or_json_with_quotes(run, documents, tmp_path):
    assert run("index", documents, "--out", tmp_path / "index")[0] == 0
    question = ["ask", "Where does the bridge stand?", "--index", tmp_path / "index"]
    code, out, _ = run(*question)
    assert code == 0 and "über bridge.txt:1 (bytes " in out
    code, out, _ = run(*question, "--json")
    answer = json.loads(out)
    figures = {
        "question",
        "score",
        "threshold",
        "terms",
        "missing",
        "unanswered",
        "found",
        "nearest",
    }
    assert set(answer) == {"answer", "refused", "claims", "root", "changed"} | figures | {
        "left_out",
        "left_out_files",
        "reading",
        "continues",
        "risk",
        "dropped",
        "did_you_mean",
        "no_quantity",
        "meaning",
        "related",
        "note",
    }
    assert answer["score"] >= answer["threshold"] > 0 and answer["missing"] == []
    assert not answer["refused"] and answer["changed"] == []
    quote = answer["claims"][0]["quotes"][0]
    assert {"path", "start", "end", "text"} <= set(quote)
    data = (Path(answer["root"]) / quote["path"]).read_bytes()
    assert data[quote["start"] : quote["end"]].decode() == quote["text"]
    code, out, _ = run("ask", "Who paints zebras?", "--index", tmp_path / "index", "--json")
    refusal = json.loads(out)
    assert code == 4 and refusal["refused"] and refusal["claims"] == []
    assert refusal["score"] < refusal["threshold"] and "zebras" in refusal["missing"]


def test_what_is_shown_and_what_the_machine_has_are_objects_for_scripts(run, tmp_path):
    made = artifact(tmp_path / "a")
    data = json.loads(run("show", made.path, "--json")[1])
    assert (data["kind"], data["id"], data["parents"]) == ("report", made.id, [])
    assert data["files"] == made.files and data["numbers"] == made.numbers
    whole = json.loads(run("show", tmp_path, "--json")[1])
    assert whole == {"artifacts": [data]}
    assert run("show", made.path)[1].startswith(f"report {made.id[:12]}\n")
    facts = json.loads(run("doctor", "--json")[1])
    assert facts["machine"]["cores"] > 0 and facts["speeds"]["float32_flops"] > 0
    assert run("doctor")[1].startswith("processor ")


def test_a_damaged_artifact_is_named_and_exits_with_1(run, tmp_path):
    made = artifact(tmp_path / "a")
    made.file("a.txt").write_text("tex")
    code, out, err = run("show", made.path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "a.txt has 3 bytes; its manifest says 4" in err
    (made.path / MANIFEST).write_text("{")
    assert "is damaged" in run("show", made.path)[2]


def test_a_place_that_cannot_be_written_is_named(run, documents, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "inner", "/proc/none"):
        code, _, err = run("corpus", documents, "--out", out)
        assert code == 1 and err.count("\n") == 1
        assert f"Cannot use {out}" in err and "choose another --out" in err
    for verb in ("corpus", "index"):
        code, _, err = run(verb, documents, "--out", "/proc/none")
        assert (code, err.count("\n")) == (1, 1)
        assert "Cannot use /proc/none: the system makes no files there; choose another" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(run, documents, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code, _, err = run("corpus", documents, "--out", closed / "out")
    assert code == 1 and "Permission denied" in err


def test_a_failed_gate_exits_with_3(run, tmp_path):
    subject = artifact(tmp_path / "subject")
    measured = Interval(2.0, 1.9, 2.1, 0.95, 9, 9)
    for limit, code in ((1.5, 3), (2.5, 0)):
        checks = [check_requirement("bits per byte", measured, at_most(limit))]
        judged = write_verdict(checks, subject, out=tmp_path / str(code))
        assert run("gate", judged.path)[0] == code
    code, out, err = run("gate", tmp_path / "3")
    assert "1 of 1 checks failed: bits per byte." in err and err.count("\n") == 1
    assert out.startswith("FAILED: 1 of 1 checks") and "{" not in out
    assert run("gate", tmp_path / "0")[1].startswith("passed: all of 1 checks")
    assert json.loads(run("gate", tmp_path / "0", "--json")[1])["checks"][0]["passed"]
    code, out, err = run("gate", tmp_path / "3", "--json")
    assert (code, out) == (3, "") and json.loads(err)["exit_code"] == 3
    assert GateFailed.exit_code == 3


def test_a_recipe_is_any_function_of_a_file(run, tmp_path):
    file = tmp_path / "my recipes.py"
    file.write_text(
        "from pathlib import Path\n"
        "def twice(word: str, *, times: int = 2) -> str:\n"
        '    """Say a word again."""\n'
        "    if times < 0:\n"
        "        raise ZeroDivisionError('below zero\\nsecond line')\n"
        "    if times == 0:\n"
        "        raise KeyboardInterrupt\n"
        "    return ' '.join([word] * times)\n"
    )
    assert run("run", f"{file}:twice", "ja", "--times", "3")[:2] == (0, "ja ja ja\n")
    code, _, err = run("run", f"{file}:twice", "ja", "--times", "-1")
    assert code == 1 and err == (
        "groundup: ZeroDivisionError: below zero (a defect; --trace shows where)\n"
    )
    assert run("run", f"{file}:twice", "ja", "--times", "0")[::2] == (130, "groundup: Stopped.\n")
    code, _, err = run("run", f"{file}:thrice")
    assert code == 2 and "has no function `thrice`" in err
    assert "tiny" in run("run")[1]


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "groundup", "--help"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_defect_of_another_process_is_told_at_once(run, monkeypatch, capsys):
    waited = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=waited.append))
    assert cli._report_error(ZeroDivisionError("x"), set()) == 1
    assert waited == [] and "a defect" in capsys.readouterr().err
    assert cli._report_error(GateFailed("no"), set()) == 3 and len(waited) == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(closed, documents, tmp_path):
    command = f'"$0" -m groundup index "$1" --out "$2" {closed} && test -d "$2/snapshots"'
    words = ["sh", "-c", command, sys.executable, documents, tmp_path / "i"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, "defect" in done.stderr) == (0, False)


@pytest.mark.parametrize(("name", "says"), [
    ("fastapi", "needs the package fastapi, which is not installed; run: pip"),
    ("httpx._api", "run: pip install 'groundup[generate]'"), ("fast", "(a defect"),
    ("prometheus_client", "run: pip install 'groundup[serve]'"), ("", "(a defect"),
])  # fmt: skip
def test_a_module_of_an_extra_is_named_with_it(name, says):
    said, code = cli._error_message(ModuleNotFoundError("No module", name=name))
    assert says in said and code == (1 if "defect" in says else 2)
