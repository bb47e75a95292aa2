"""YAML files: includes, the names that a folder defines, and code that runs only when trusted."""

import os
import sys
from pathlib import Path

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.data import DatasetRows
from groundup.evaluate.task.yaml_files import (
    FunctionReference,
    TaskCode,
    call_code,
    did_you_mean,
    load_code,
    read_task_index,
    read_yaml,
)
from tests.evaluate.task.lm_eval_peer import FIXTURE


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
"""810 bytes or so, and 9 to the ninth values."""


def test_an_alias_that_is_used_twice_is_fine(tmp_path):
    file = put(tmp_path / "t.yaml", "a: &x [1, {b: 2}]\nc: *x\nd: {<<: {e: 1}}\n")
    assert read_yaml(file) == {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": {"e": 1}}


def test_the_including_file_wins(tmp_path):
    put(tmp_path / "parts" / "_base", "a: 1\nb: 1\nc: 1\ntask_list: [x]\n")
    put(tmp_path / "parts" / "_middle", "include: _base\nb: 2\nc: 2\n")
    file = put(tmp_path / "t.yaml", "include: [parts/_middle]\nc: 3\n")
    assert read_yaml(file) == {"a": 1, "b": 2, "c": 3}


def test_a_function_knows_the_file_that_names_it(tmp_path):
    part = put(tmp_path / "parts" / "_base", "process_docs: !function own.clean\n")
    file = put(tmp_path / "t.yaml", "include: parts/_base\n")
    assert read_yaml(file) == {"process_docs": FunctionReference(part.resolve(), "own.clean")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: nowhere\n", "includes 'nowhere', which does not exist"),
        ("include: ../secret.yaml\n", "which is not below its folder; pass"),
        ("include: /etc/passwd\n", "which is not below its folder; pass"),
        ("include: t.yaml\n", "includes it again"),
        ("- a\n- b\n", "must be `key: value` lines; got list"),
        ("a: [1\n", r"t\.yaml is not valid YAML"),
        ("a: &a {b: *a}\n", "alias inside its own anchor"),
        (BOMB, "more than 100,000 values with its aliases"),
        (
            BOMB.replace("[*", "{<<: [*").replace("]", "]}"),
            "is not valid YAML|more than 100,000 values",
        ),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML for a task file"),
    ],
)
def test_what_is_no_task_file_is_told(tmp_path, text, said):
    file = put(tmp_path / "t.yaml", text)
    with pytest.raises(ConfigError, match=said):
        read_yaml(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"Cannot read the task file .*nowhere\.yaml: No such"):
        read_yaml(tmp_path / "nowhere.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match=r"Cannot read the task file .*pipe\.yaml: no regular"):
        read_yaml(tmp_path / "pipe.yaml")


def test_a_folder_defines_tasks_groups_and_tags():
    index = read_task_index(FIXTURE / "tasks")
    assert {"planets", "subjects_rocks"} <= set(index.tasks)
    assert {"subjects", "subjects_words", "bag"} == set(index.groups)
    assert index.tags["mixed_bag"] == ["passages", "planets"]
    assert index.tags["subjects_nature_tasks"] == ["subjects_rocks", "subjects_stars"]


def test_a_damaged_file_does_not_hide_the_others(tmp_path):
    put(tmp_path / "a.yaml", "task: [1\n")
    put(tmp_path / "b.yaml", "task: b\n")
    put(tmp_path / "c.yaml", "task: b\nother: 1\n")
    put(tmp_path / "d.yaml", "output_type: x\n")
    index = read_task_index(tmp_path)
    assert index.tasks["b"].file.name == "b.yaml" and index.names() == ["b"]
    with pytest.raises(ConfigError, match="there is no"):
        read_task_index(tmp_path / "nowhere")


def test_the_nearest_name():
    assert did_you_mean("arc_eazy", ["arc_easy", "piqa"]) == "; did you mean `arc_easy`?"
    assert did_you_mean("zzz", ["arc_easy"]) == ""


@pytest.fixture
def named(tmp_path: Path):
    def write(text: str, name: str = "own.f") -> FunctionReference:
        (tmp_path / "own.py").write_text(text)
        return FunctionReference(tmp_path / "t.yaml", name)

    return write


def test_code_is_refused_and_not_run_until_it_is_trusted(named, tmp_path):
    function = named(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\ndef f(): return 1\n"
    )
    with pytest.raises(
        ConfigError, match=r"runs the code of .*own\.py; review that.*--set trust_code=true"
    ):
        load_code({"a": [function]}, False)
    assert not (tmp_path / "ran").exists()
    code = load_code({"a": [function]}, True)["a"][0]
    assert isinstance(code, TaskCode) and code.call() == 1 and (tmp_path / "ran").exists()


def test_the_digest_is_that_of_the_file(named):
    one = load_code(named("def f(): return 1\n"), True)
    two = load_code(named("def f(): return 2\n"), True)
    assert one.digest != two.digest and (one.call(), two.call()) == (1, 2)
    assert str(one) == f"own.f@{one.digest}"


def test_code_may_name_the_types_of_datasets(named):
    text = (
        "import datasets\ndef f(d: datasets.Dataset) -> datasets.Dataset:\n    return d.map(dict)"
    )
    code = load_code(named(text), True)
    assert code.call(DatasetRows([{"a": 1}]))[0] == {"a": 1}
    assert "datasets" not in sys.modules or hasattr(sys.modules["datasets"], "load_dataset")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("def f(): pass\n", "other.f", r"expected FILE\.FUNCTION, and other\.py next to it"),
        ("def f(): pass\n", "f", r"expected FILE\.FUNCTION"),
        ("def f(): pass\n", "own.g", "has no function `g`"),
        ("f = 3\n", "own.f", "has no function `f`"),
        ("import no_such_package\n", "own.f", "ModuleNotFoundError.*install what it imports"),
        ("def f(:\n", "own.f", "SyntaxError"),
    ],
)
def test_code_that_cannot_be_used_is_told(named, text, name, said):
    with pytest.raises(ConfigError, match=said):
        load_code(named(text, name), True)


def test_what_code_raises_names_it(tmp_path):
    code = TaskCode("own.f", "0", lambda: 1 / 0)
    with pytest.raises(DataError, match=r"own\.f failed on a row \(ZeroDivisionError"):
        call_code(code, tmp_path / "t.yaml", "a row", code.call)
