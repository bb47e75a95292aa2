"""Every error is a GroundupError with an exit code of its kind."""

from groundup.core import ConfigError, GateFailed, GroundupError, MissingExtra, errors


def test_exit_codes():
    found = {e.__name__: e.exit_code for e in GroundupError.__subclasses__()}
    assert found["ConfigError"] == ConfigError.exit_code == 2
    assert found["GateFailed"] == GateFailed.exit_code == 3
    assert set(found.values()) == {1, 2, 3}


def test_the_tree_in_the_docstring_is_complete():
    for error in GroundupError.__subclasses__():
        assert error.__name__ in (errors.__doc__ or "")


def test_a_missing_extra_gives_the_command():
    assert "pip install 'groundup[retrieve]'" in str(MissingExtra("tantivy", "retrieve"))
