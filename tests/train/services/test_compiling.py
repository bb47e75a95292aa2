"""Whether a run compiles is said and kept."""

from groundup.core import record
from groundup.train import Resumed, compiling
from tests.train.services.steps import tiny


def test_what_is_turned_off_is_said_and_not_done(monkeypatch, capsys):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    record.use("plain")
    try:
        assert compiling(tiny()[0], Resumed(0, {})) is False
    finally:
        record.use("silent")
    assert "uncompiled, slower but right" in capsys.readouterr().err


def test_a_resumed_run_computes_as_the_one_before_did():
    assert compiling(tiny()[0], Resumed(3, {"compiled": False})) is False
