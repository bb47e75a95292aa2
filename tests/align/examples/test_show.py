import io
import re

import pytest
from rich.console import Console

from groundup.align.examples.exchanges import ChatExample
from groundup.align.examples.show import _print_example, show_examples
from groundup.core import Config, ConfigError, Message, produce
from groundup.tokenizer import FastTokenizer, render, save_tokenizer

TALK = (
    Message("user", "Is [bold]é[/bold] shown?"),
    Message("assistant", "Yes, ⟨é⟩."),
    Message("user", "Sure?"),
    Message("assistant", "Sure."),
)
EXAMPLE = ChatExample("train-00000", "topic", "m", TALK)


def printed(is_terminal: bool) -> str:
    tokenizer, screen = FastTokenizer([]), io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=80, no_color=False)
    _print_example(console, EXAMPLE, render(tokenizer, TALK), tokenizer)
    return screen.getvalue()


def test_what_is_marked_is_what_is_trained():
    _, plain = printed(is_terminal=False).split("\n", 1)
    assert re.findall("⟦(.*?)⟧", plain) == ["Yes, ⟨é⟩.<|im_end|>", "Sure.<|im_end|>"]
    assert re.sub("[⟦⟧]", "", plain) == render(FastTokenizer([]), TALK).text + "\n"


def test_a_pipe_gets_plain_signs_and_a_terminal_styles():
    plain = printed(is_terminal=False)
    assert "⟦Sure.<|im_end|>⟧" in plain and "\x1b" not in plain
    assert "Is [bold]é[/bold] shown?" in plain and plain.startswith("train-00000 · topic · m · ")
    styled = printed(is_terminal=True)
    assert "\x1b[" in styled and "⟦" not in styled


@pytest.fixture
def examples(tmp_path):
    def write(draft):
        draft.file("train.jsonl").write_text(EXAMPLE.to_json() + "\n" + EXAMPLE.to_json() + "\n")

    save_tokenizer(FastTokenizer([]), tmp_path / "tokenizer")
    return produce(
        tmp_path / "examples", kind="examples", stage="examples", version=1, config=Config(),
        parents={}, write=write,
    )  # fmt: skip


def test_the_verb_prints_as_many_as_asked(examples, tmp_path, capsys):
    show_examples(examples.path, tokenizer=tmp_path / "tokenizer", count=1)
    assert capsys.readouterr().out.count("train-00000") == 1
    show_examples(examples.path, tokenizer=tmp_path / "tokenizer")
    assert capsys.readouterr().out.count("train-00000") == 2


def test_a_kind_that_is_not_there_is_named(examples, tmp_path):
    with pytest.raises(ConfigError, match="no train example of kind 'name'; it has topic"):
        show_examples(examples.path, tokenizer=tmp_path / "tokenizer", kind="name")
