"""A task's own code runs only when it is trusted, and what is wrong with it is told."""

import sys
from pathlib import Path

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.code import FunctionReference, TaskCode, call_code, load_code
from groundup.evaluate.task.dataset import DatasetRows


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
