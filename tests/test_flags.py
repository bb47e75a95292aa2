"""Every flag says what it is, a wrong one is told in a line, inputs are of the right kind."""

import inspect
import re
import shlex
import subprocess
from typing import Literal, get_type_hints

import pytest

from groundup.core import Artifact, ArtifactError, Config, load_config
from groundup.core.config import _field_names
from groundup.flags import (
    PARAMETER_KINDS,
    _config_parameters,
    _list_settings,
    _parse_docstring,
    _wrap_with_flags,
    completion,
    import_target,
    parse_command,
)
from groundup.recipes import RECIPES
from groundup.recipes import run as recipe
from groundup.verbs import PAGES, VERBS
from tests.artifacts import artifact


def table(out: str) -> dict[str, str]:
    """The options of a help text and what its table says of each."""
    rows: dict[str, str] = {}
    for line in out.splitlines():
        inner = line.removeprefix("│").removesuffix("│")
        flag = re.match(r"[ *]*(?:[A-Z-]+ )?(--[a-z-]+)", inner)
        if line.startswith("│") and (flag or rows):
            name = flag[1] if flag else list(rows)[-1]
            rows[name] = f"{rows.get(name, '')} {inner.strip()}"
    return rows


def test_lines_of_parameters_stand_in_the_table_and_what_it_raises_nowhere(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words, flag, said in (
        ("run tiny", "--depth", "layers of the model; width and heads follow"),
        ("pretrain", "--tokenizer", "the tokenizer that made them, or a model that has it"),
        ("chat", "--top-p", "sample from the most likely tokens that together"),
        ("ask", "--limit", "maximum number of quotes"),
        ("corpus", "--out", "directory of the result"),
    ):
        out = run(*words.split(), "--help")[1]
        rows = {name: " ".join(row.split()) for name, row in table(out).items()}
        assert said in rows[flag], out
        assert out.startswith(f"Usage: groundup {words} ")
        assert "Raises" not in out and "--empty" not in out
        assert said[:10] not in out.split("╭")[0]
    assert "Piped, each line of stdin" in run("chat", "--help")[1]


def test_a_docstring_is_parted():
    def stage(depth: int, out: str) -> None:
        """Make a thing.

        It has more
        lines. Raises DataError if not.

        depth  how deep, and
               on
        out    where

        Raises ConfigError, always
        so.
        """

    prose, parameters = _parse_docstring(stage)
    assert prose == "Make a thing.\n\nIt has more\nlines."
    assert parameters == {"depth": "how deep, and on", "out": "where"}


def test_help_lists_every_setting_with_its_default_and_meaning(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for verb in VERBS:
        out = run(*verb.name.split(), "--help")[1]
        assert verb.name == "run" or max(map(len, out.splitlines())) <= 80, verb.name
        for config in _config_parameters(import_target(verb.target)).values():
            for key, default, about in _list_settings(config):
                assert f"\n  {key}={default}" in out and about.split()[0] in out
            names = [name for name in _field_names(config) if name != "source_digest"]
            assert [setting.key for setting in _list_settings(config)] == names
    assert "optim.learning_rate=0.004 " in run("pretrain", "--help")[1]
    assert "optim.learning_rate=0.002 " in run("finetune", "--help")[1]  # its own default


def test_a_default_can_be_typed_as_it_is_shown():
    for verb in VERBS:
        for config in _config_parameters(import_target(verb.target)).values():
            given = {key: 1 for key, default, _ in _list_settings(config) if "required" in default}
            shown = [f"{key}={given.get(key, text)}" for key, text, _ in _list_settings(config)]
            assert load_config(config, None, shown) == config(**given)


def functions():
    """Every function that a command calls: name, function, example."""
    verbs = [
        (verb.name, import_target(verb.target), verb.example)
        for verb in VERBS
        if verb.name != "run"
    ]
    return verbs + [(f"run {n}", recipe(n), each.example) for n, each in RECIPES.items()]


def test_every_flag_of_every_command_says_what_it_is(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for name, _, _ in functions():
        rows = table(run(*name.split(), "--help")[1])
        assert len(rows) > 1, name
        for flag, row in rows.items():
            bare = re.sub(r"^\*|--?[\w-]+|\[[^]]*\]|\b[A-Z][A-Z-]*(\.\.\.)?|\[.*", "", row)
            assert len(bare.split()) > 1, f"groundup {name} {flag} has no help: {row}"


def test_every_help_page_has_an_example_that_parses_and_a_page_of_the_docs(run, root):
    for name, function, example in functions():
        out = run(*name.split(), "--help")[1]
        assert f"\nExample:\n  groundup {name} {example}\n" in out and len(example) < 70
        page = re.search(r"^Docs: (\S+)$", out, re.MULTILINE)
        assert page and (root / page[1]).is_file(), name
        words = shlex.split(example)
        assert parse_command(name, function, words) is not None, example
        settings = [word for flag, word in zip(words, words[1:], strict=False) if flag == "--set"]
        for config in _config_parameters(function).values():
            load_config(config, None, settings)
    assert "Example:\n  groundup run tiny" in run("run", "--help")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ask", "--index is missing (directory that `groundup index` made)."),
        ("ask why", "--index is missing (directory that `groundup index` made)."),
        ("ask why --index", "--index stands without its value (directory that"),
        ("ask why i --limit", "--limit stands without its value (maximum number of quotes)."),
        ("ask why i --limit x", 'Invalid value for --limit: unable to convert "x" into int.'),
        ("ask why i z", "Expected no further argument; got 'z'."),
        ("quantize --model m", "--out is missing (directory of the result"),
    ],
)
def test_a_missing_value_and_one_too_many_are_told_as_such(words, said, run):
    code, out, err = run(*words.split())
    name = words.split()[0]
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err and err.endswith(f"See `groundup {name} --help`.\n")


INPUTS = [
    (name, parameter)
    for name, function, _ in functions()
    for parameter, hint in get_type_hints(function).items()
    if hint in (Artifact, Artifact | None) and parameter != "return"
]


def test_every_input_says_which_kinds_it_takes():
    assert {parameter for _, parameter in INPUTS} == set(PARAMETER_KINDS)


@pytest.mark.parametrize(("name", "parameter"), [i for i in INPUTS if PARAMETER_KINDS[i[1]]])
def test_an_artifact_of_another_kind_is_told_with_what_makes_the_right_one(
    name, parameter, tmp_path
):
    function = import_target(next(verb.target for verb in VERBS if verb.name == name))
    wrong = artifact(tmp_path / "wrong", "prompts")
    given = {}
    for other in inspect.signature(_wrap_with_flags(function)).parameters.values():
        if other.default is inspect.Parameter.empty:
            kinds = PARAMETER_KINDS.get(other.name, ())
            is_input = (name, other.name) in INPUTS
            made = artifact(tmp_path / other.name, kinds[0]).path if is_input and kinds else None
            given[other.name] = made or tmp_path / f"no-{other.name}"
    for config in _config_parameters(function).values():
        needed = [s.key for s in _list_settings(config) if "required" in s.default]
        given |= {"set_": [f"{key}=1" for key in needed]}
    with pytest.raises(ArtifactError) as raised:
        _wrap_with_flags(function)(**given | {parameter: wrong.path})
    said = str(raised.value)
    assert re.match(
        rf"Expected an? .*{PARAMETER_KINDS[parameter][0]}.* artifact, got prompts \(", said
    )
    assert str(wrong.path) in said and "; make one with `groundup " in said
    assert not (tmp_path / "no-out").exists()


def test_a_folder_that_is_no_artifact_is_told_as_what_it_is(run, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "i" / "ledger").mkdir(parents=True)
    (tmp_path / "i" / "ledger" / "current.jsonl").write_text("")
    for place, said in (
        ("texts", "a folder without manifest.json"),
        ("i", "an index"),
        ("file", "a file"),
        ("absent", "nothing: there is no such folder"),
    ):
        code, _, err = run("tokenizer", "--corpus", tmp_path / place, "--out", tmp_path / "out")
        assert code == 1 and f"Expected a corpus artifact, got {said}" in err and place in err
        assert "make one with `groundup corpus` or `groundup prepare`." in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("generate WRONG --prompt x", "model"),
        ("chat WRONG", "model"),
        ("model describe WRONG", "model"),
        ("ask why --index WRONG", "index"),
        ("vectors neighbours WRONG queen", "vectors"),
        ("vectors context WRONG bank 'a bank'", "model"),
        ("evaluate WRONG --tasks arithmetic.2 --out no", "model"),
        ("evaluate m --tasks WRONG --out no", "testset"),
        ("gate WRONG", "report or verdict"),
        ("checkpoints WRONG", "model"),
        ("checkpoints export WRONG --out no", "model"),
        ("compare WRONG WRONG", "report"),
        ("examples show WRONG --tokenizer t", "examples"),
        ("testset make WRONG --out no", "corpus"),
        ("scaling fit WRONG --out no", "report"),
        (
            "tokens mix --tokenizer TOKENIZER --source a=WRONG --source b=WRONG --out no --set "
            "tokens=9",
            "tokens",
        ),
    ],
)
def test_a_path_is_opened_as_the_kind_that_its_verb_needs(
    words, expected, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    artifact(tmp_path / "WRONG", "prompts")
    artifact(tmp_path / "TOKENIZER", "tokenizer")
    code, out, err = run(*shlex.split(words))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert f"{expected}" in err and "got prompts (WRONG)" in err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("words", ["chat i", "generate i --prompt x", "checkpoints i", "plan i"])
def test_an_index_in_the_place_of_a_model_is_told_as_one(words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "i" / "ledger").mkdir(parents=True)
    (tmp_path / "i" / "ledger" / "current.jsonl").write_text("")
    code, out, err = run(*words.split())
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert "model artifact, got an index (i)" in err


def test_the_script_for_bash_completes_verbs_flags_and_choices(tmp_path):
    script = tmp_path / "groundup.bash"
    script.write_text(completion("bash"))

    def completed(*words: str) -> list[str]:
        typed = " ".join(shlex.quote(word) for word in ("groundup", *words))
        line = (
            f"source {shlex.quote(str(script))}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; "
            '_groundup; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("co") == ["compare", "completion", "corpus"]
    assert completed("corpus", "w") == ["why", "withdraw"]
    assert completed("run", "ti") == ["tiny"]
    assert completed("ask", "--in") == ["--index"]
    assert set(completed("vectors", "plot", "--by", "")) == {"pca", "tsne"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_scripts_with_every_verb(shell):
    script = completion(shell)
    missing = [word for name in PAGES for word in name.split() if word not in script]
    assert not missing


def test_one_choice_is_no_choice():
    class OneConfig(Config):
        one: Literal[8] = 8
        """Bits."""
        two: Literal["a", "b"] = "a"
        """Letters."""

    about = {setting.key: setting.about for setting in _list_settings(OneConfig)}
    assert about == {"one": "Bits.", "two": "Letters. One of a, b."}
