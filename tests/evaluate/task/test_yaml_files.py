"""YAML files: includes, functions, and the names that a folder defines."""

import os
from pathlib import Path

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.code import FunctionReference
from groundup.evaluate.task.yaml_files import did_you_mean, read_task_index, read_yaml
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
