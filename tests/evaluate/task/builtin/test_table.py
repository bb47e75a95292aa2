"""The table of built-in tasks: every entry says what people must know."""

from groundup.evaluate.task.builtin.table import BUILTIN, Asking
from groundup.evaluate.task.prompt import Chat


def test_what_a_task_is_asked_with_has_lm_evals_defaults():
    assert Asking() == (None, None, Chat(template=False, multiturn=True, system=""), 1234)


def test_every_entry_tells_what_it_is_and_under_which_terms():
    for name, entry in BUILTIN.items():
        assert name and entry.about and entry.licence, name
        assert len(entry.about) <= 80 and not entry.about.endswith("."), name
