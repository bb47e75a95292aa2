"""One interface, several voices; metrics survive a crash."""

import json

import pytest

from groundup.core import record


def test_events_are_json_lines_on_stderr(capsys):
    record.set_output_mode("json")
    record.log_event("made", path="a b")
    with record.progress("base", 10, "tokens") as bar:
        bar.advance(10, loss=1.5)
    record.set_output_mode("silent")
    rows = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert rows[0] == {"event": "made", "path": "a b"}
    assert rows[1]["done"] == 10 and rows[1]["loss"] == 1.5


def test_a_library_is_silent(capsys):
    record.log("hello")
    with record.progress("base", 10, "tokens") as bar:
        bar.advance(10)
    found = capsys.readouterr()
    assert found.out == found.err == ""


def test_plain_voice_tells_the_end(capsys):
    record.set_output_mode("plain")
    with record.progress("base", 10, "tokens") as bar:
        bar.advance(10, loss=1.25)
    record.set_output_mode("silent")
    assert "100 %" in (text := capsys.readouterr().err) and "loss 1.25" in text


def test_the_time_left_is_told_once_it_can_be_known(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 30.0, 90.0])
    monkeypatch.setattr(record.time, "monotonic", lambda: next(clock))
    record.set_output_mode("plain")
    with record.progress("1/5", 1000, "MB") as bar:
        for done in (1, 40, 10, 0):
            bar.advance(done)
    record.set_output_mode("silent")
    first, second, third, last = capsys.readouterr().err.splitlines()
    assert first == "1/5          0 %  0.1 MB/s", "a thousandth says nothing of the rest"
    assert "left" not in second and third == "1/5          5 %  1.7 MB/s  9 min 18 s left"
    assert last.endswith("left")


def test_what_is_skipped_is_done_and_no_pace(capsys, monkeypatch):
    clock = iter([0.0, 100.0, 110.0])
    monkeypatch.setattr(record.time, "monotonic", lambda: next(clock))
    record.set_output_mode("plain")
    with record.progress("base", 100, "tokens") as bar:
        bar.skip(50)
        bar.advance(10)
    record.set_output_mode("silent")
    assert capsys.readouterr().err.startswith("base        60 %  1 tokens/s  40 s left")


def test_metrics_cut_a_torn_line_and_what_will_be_done_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n{"ste')
    metrics = record.MetricsFile(path, lambda row: row["step"] < 2)
    metrics.write(step=2, loss=0.5)
    metrics.close()
    assert record.read_metrics(path) == [{"step": 0}, {"step": 1}, {"step": 2, "loss": 0.5}]


def test_listeners_are_given_each_row_that_was_written(tmp_path):
    metrics, heard = record.MetricsFile(tmp_path / "m.jsonl"), []
    metrics.listeners.append(heard.append)
    metrics.write(step=1, loss=2.0)
    metrics.close()
    assert heard == record.read_metrics(tmp_path / "m.jsonl") == [{"step": 1, "loss": 2.0}]


def test_what_was_done_before_is_no_pace(capsys, monkeypatch):
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(record.time, "monotonic", lambda: next(clock))
    record.set_output_mode("plain")
    with record.progress("base", 1000, "tokens", 900) as bar:
        bar.advance(50)
    record.set_output_mode("silent")
    told = capsys.readouterr().err
    assert "95 %" in told and "0.5 tokens/s" in told and "1 min 40 s left" in told


def test_a_full_disk_leaves_the_rows_that_there_are(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n')

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        record.MetricsFile(path)
    assert path.read_text() == '{"step": 0}\n'


def test_words_of_others_do_not_command_the_terminal(capsys):
    record.set_output_mode("plain")
    try:
        record.log("a\x1b]0;title\x07b\x9b2J\u202ec\rd\te\r\nf\xa0é\u200d")
    finally:
        record.set_output_mode("silent")
    said = capsys.readouterr().err
    assert said == "a\\x1b]0;title\\x07b\\x9b2J\\u202ec\\rd\te\r\nf\xa0é\u200d\n"
