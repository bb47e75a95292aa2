"""The side of the code: what it defines, what it returns, what it raises."""

import sys
from pathlib import Path

import pytest

from groundup.measure.code.answering import ANSWER, _answer_call, _load_answer


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, ANSWER, sys)


def loaded(tmp_path: Path, code: str):
    (tmp_path / "answer.py").write_text(code)
    return _load_answer(str(tmp_path / "answer.py"))


def test_functions_and_classes_can_be_called_by_name(tmp_path: Path):
    module, start = loaded(tmp_path, "x = 1\ndef f(a, b=2): return a + b\nclass C: pass")
    assert start == {"names": ["f", "C"]}
    asked = {"name": "f", "arguments": [1], "named": {"b": 5}}
    assert _answer_call(module, asked) == {"value": 6, "arguments": [1]}


def test_changed_arguments_come_back(tmp_path: Path):
    module, _ = loaded(tmp_path, "def f(a): a.append(9)")
    found = _answer_call(module, {"name": "f", "arguments": [{"list": [1]}], "named": {}})
    assert found == {"value": None, "arguments": [{"list": [1, 9]}]}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("x = ", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("raise SystemExit", "SystemExit"),
     ("import no_such_module", "ModuleNotFoundError"), ("x = '\0'", "SyntaxError")],
)  # fmt: skip
def test_code_that_cannot_be_run_is_told(tmp_path: Path, code: str, kind: str):
    start = loaded(tmp_path, code)[1]
    assert start["raised"] in (kind, "ValueError")


@pytest.mark.parametrize("how", ["raise KeyError('k')", "exit(0)", "raise KeyboardInterrupt"])
def test_what_a_call_raises_is_told_and_the_next_call_works(tmp_path: Path, how: str):
    module, _ = loaded(tmp_path, f"def f(): {how}\ndef g(): return 1")
    assert "raised" in _answer_call(module, {"name": "f", "arguments": [], "named": {}})
    assert _answer_call(module, {"name": "g", "arguments": [], "named": {}})["value"] == 1
