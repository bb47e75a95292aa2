"""The table's rows: what a caller decides for every task."""

from groundup.evaluate.task.builtin.table import Asking, BuiltIn
from groundup.evaluate.task.prompt import Chat


def test_what_a_task_is_asked_with_has_lm_evals_defaults():
    assert Asking() == (None, None, Chat(template=False, multiturn=True, system=""), 1234, None)


def test_an_entry_needs_nothing_unless_it_says_so():
    assert BuiltIn(lambda asking: None, "about", "terms").needs == ""  # type: ignore[arg-type]
