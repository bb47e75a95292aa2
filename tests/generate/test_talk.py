import io
import json
import signal
import sys

import pytest
import torch

from groundup.core import ConfigError, Message, Sampling, record
from groundup.generate import Engine, chat, generate
from groundup.generate.talk import (
    _catch_interrupt,
    _chat_turn,
    _format_speed,
    _merge_sampling,
)
from groundup.model import save as save_model
from groundup.tokenizer import FastTokenizer, save_tokenizer
from tests.generate.tiny import tiny_directory, tiny_engine, tiny_model, user


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_directory(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def plain_voice():
    record.set_output_mode("plain")
    yield
    record.set_output_mode("silent")


def talk(model, words: str, monkeypatch, capsys) -> tuple[str, str]:
    """Pipe words into a chat; return stdout and stderr."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(words))
    chat(model, max_tokens=8)
    return capsys.readouterr()


def test_an_answer_of_one_moment_has_no_speed():
    assert (
        _format_speed(3, 0.1, 0.0)
        == _format_speed(3, 0.1, -1.0)
        == "3 tokens, the first after 0.10 s"
    )


def test_piped_lines_get_one_answer_each_on_stdout_and_the_rest_on_stderr(
    model, monkeypatch, capsys
):
    engine, sampling = Engine.open(model), Sampling(max_tokens=8)
    (first,) = engine.generate([user("a")], sampling)
    out, err = talk(model, "a\n\n/reset\na\n", monkeypatch, capsys)
    assert out == f"{first.text}\n" * 2
    assert err.count("tokens,") == 2 and "forgotten" in err


def test_earlier_turns_are_part_of_the_conversation(model, monkeypatch, capsys):
    engine, sampling = Engine.open(model), Sampling(max_tokens=8)
    (first,) = engine.generate([user("a")], sampling)
    longer = (*user("a"), Message("assistant", first.text), Message("user", "b"))
    (second,) = engine.generate([engine.truncate_history(longer, 8)], sampling)
    out, _ = talk(model, "a\nb\n", monkeypatch, capsys)
    assert out == f"{first.text}\n{second.text}\n"


def test_quit_leaves_and_an_unknown_command_is_told(model, monkeypatch, capsys):
    out, err = talk(model, "/what\n/quit\na\n", monkeypatch, capsys)
    assert out == "" and "no command /what" in err


def test_a_message_that_does_not_fit_is_told_and_left_out(model, monkeypatch, capsys):
    out, err = talk(model, "x" * 500 + "\na\n", monkeypatch, capsys)
    assert "shorten the message" in err and out.count("\n") == 1


def test_a_conversation_that_outgrows_the_context_goes_on(model, monkeypatch, capsys):
    _, err = talk(model, "hello there\n" * 4, monkeypatch, capsys)
    assert "no longer fit" in err and err.count("tokens,") == 4


class Interrupting(io.StringIO):
    """A terminal whose person presses Ctrl-C at the third thing written."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes == 3:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_stops_the_answer_and_not_the_chat(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "stdout", Interrupting())
    engine = tiny_engine()
    found = _chat_turn(engine, user("a"), Sampling(max_tokens=30))
    (whole,) = engine.generate([user("a")], Sampling(max_tokens=30))
    assert found[-1].role == "assistant" and len(found[-1].content) < len(whole.text)
    assert "Stopped." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_is_kept_until_it_is_looked_at():
    with _catch_interrupt() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped == [signal.SIGINT]


def test_generate_gives_text_and_for_scripts_its_figures(model):
    found = generate(model, "def ", max_tokens=5)
    made = Engine.open(model).continue_text("def ", Sampling(max_tokens=5))
    assert found == made.text
    fields = json.loads(json.dumps(found._asdict()))
    assert fields["text"] == made.text and fields["tokens"] == len(made.ids)
    asked = generate(model, "def ", ask=True, max_tokens=5)
    assert asked == Engine.open(model).generate([user("def ")], Sampling(max_tokens=5))[0].text


def test_an_empty_prompt_and_an_impossible_setting_are_told(model):
    with pytest.raises(ConfigError, match="prompt is empty"):
        generate(model, "")
    with pytest.raises(ConfigError, match="prompt is empty"):
        generate(model, "", ask=True)
    with pytest.raises(ConfigError, match="top_p"):
        generate(model, "a", top_p=2)


def test_beams_find_the_likeliest_text(model):
    greedy, wide = (generate(model, "def ", max_tokens=6, beams=n) for n in (1, 4))
    logprobs = [sum(each.generation.logprobs) for each in (greedy, wide)]
    assert len(wide.generation.ids) <= 6 and logprobs[1] >= logprobs[0]
    assert wide == generate(model, "def ", max_tokens=6, beams=4)
    assert generate(model, "def ", ask=True, max_tokens=3, beams=2).generation.ids
    with pytest.raises(ConfigError, match="needs temperature 0"):
        generate(model, "def ", temperature=1.0, beams=4)
    with pytest.raises(ConfigError, match="width"):
        generate(model, "def ", beams=0)


def test_a_model_that_was_not_tuned_on_conversations_says_so_once_with_how_to_tune_it(
    tmp_path, monkeypatch, capsys
):
    directories = {}
    for tuned in (False, True):
        place = directories[tuned] = tmp_path / f"tuned={tuned}"
        save_tokenizer(FastTokenizer([]), place)
        save_model(tiny_model(torch.float32), place, place, chat=tuned)
    out, err = talk(directories[False], "a\nb\n", monkeypatch, capsys)
    assert out.count("\n") == 2 and err.count("was not tuned on conversations") == 1
    (line,) = [line for line in err.splitlines() if "not tuned" in line]
    assert f"groundup finetune --model {directories[False]} --examples" in line
    assert "not tuned" not in talk(directories[True], "a\n", monkeypatch, capsys)[1]


def test_the_length_is_a_flag_a_setting_or_the_verbs_own(model):
    found = [
        len(generate(model, "a", max_tokens=most, config=config).generation.ids)
        for most, config in (
            (3, None), (None, Sampling(max_tokens=4)), (3, Sampling(max_tokens=4)),
            (5, Sampling(banned_tokens=(1,))),
        )
    ]  # fmt: skip
    assert found == [3, 4, 3, 5]
    config = Sampling(temperature=0.5)
    assert _merge_sampling(config, {"seed": 3}, 128) == Sampling(
        temperature=0.5, seed=3, max_tokens=128
    )


@pytest.mark.parametrize("name", ["page.txt", "folder.html"])
def test_a_page_that_cannot_be_written_is_named_before_anything_is_generated(name, model, tmp_path):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError, match="the page is HTML"):
        generate(model, "a", explain=tmp_path / name)


def test_commands_change_the_conversation(model, monkeypatch, capsys, tmp_path):
    engine, sampling = Engine.open(model), Sampling(max_tokens=8)
    system = Message("system", "be brief")
    (edited,) = engine.generate([(system, Message("user", "b"))], sampling)
    (warm,) = engine.generate(
        [(system, Message("user", "b"), Message("assistant", edited.text), Message("user", "c"))],
        Sampling(max_tokens=8, temperature=0.9, seed=4),
    )
    path = tmp_path / "talk.jsonl"
    words = (
        "/system be brief\na\n/edit b\n/set temperature=0.9 seed=4\nc\n"
        f"/save {path}\n/save {path}\n/set heat=1\n/nothing\n"
    )
    out, err = talk(model, words, monkeypatch, capsys)
    assert out.endswith(f"{edited.text}\n{warm.text}\n")
    saved = json.loads(path.read_text("utf-8"))["messages"]
    assert saved[0] == {"role": "system", "content": "be brief"}
    assert [each["content"] for each in saved[1:]] == ["b", edited.text, "c", warm.text]
    for said in ("temperature=0.9, max_tokens=8, seed=4", "exists", "heat", "no command /nothing"):
        assert said in err


def test_a_wrong_command_ends_no_conversation(model, monkeypatch, capsys, tmp_path):
    words = f"a\n/set broken\n/save {tmp_path}/missing/x.jsonl\n/save {tmp_path}\n/edit\na\n"
    out, err = talk(model, words, monkeypatch, capsys)
    assert out.count("\n") >= 2
    for said in ("expects key=value", "Cannot write", "/edit needs a text behind it"):
        assert said in err


def test_settings_are_json_as_it_is_typed(model, monkeypatch, capsys):
    words = '/set stop=["x y", "z"] temperature=0.5 logit_bias={"5": -2.0}\n'
    assert "temperature=0.5" in talk(model, words, monkeypatch, capsys)[1]
    shown = talk(model, words, monkeypatch, capsys)[1]
    assert "stop=('x y', 'z')" in shown and "logit_bias={5: -2.0}" in shown


def test_there_is_nothing_to_edit_at_first(model, monkeypatch, capsys):
    assert "no message to edit" in talk(model, "/edit a\n", monkeypatch, capsys)[1]


def test_the_best_of_several_answers_is_the_likeliest(model):
    engine, sampling = Engine.open(model), Sampling(temperature=1.0, max_tokens=6, seed=3)
    answers = engine.best_of(engine.encode_prompt("a"), sampling, 5)
    means = [sum(each.logprobs) / len(each.logprobs) for each in answers]
    assert means == sorted(means, reverse=True) and len(set(means)) > 1
    assert generate(model, "a", temperature=1.0, max_tokens=6, seed=3, best_of=5) == answers[0].text
    with pytest.raises(ConfigError, match="best_of=3 at temperature=0 gives nothing"):
        engine.best_of([1], Sampling(), 3)
    with pytest.raises(ConfigError, match="neither --beams nor --explain"):
        generate(model, "a", temperature=1.0, best_of=2, beams=2)


def test_weights_of_fewer_bits_answer_too(model):
    for bits in (8, 4):
        assert isinstance(generate(model, "a", max_tokens=4, bits=bits), str)
