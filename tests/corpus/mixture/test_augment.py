"""Augmented records hold what their parents hold, and are the same whenever they are made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus.engine.derive import Derive
from groundup.corpus.mixture.augment import (
    Comments,
    CommentsConfig,
    Middles,
    MiddlesConfig,
    Noise,
    NoiseConfig,
    moved,
)
from groundup.documents import Record, SourceMap
from tests.corpus.dedup.shards import words

MARKS = ("<P>", "<S>", "<M>")
HOSTILE = ["", "\0" * 99, "#\n" * 100_000, "a" * 1_000_000, "# a\n" * 50_000 + "x", "(" * 5_000]


def plain(text: str, name: str = "a", kind: str = "text") -> Record:
    return Record(name, "s", name, kind, text, SourceMap.identity(text))


@given(st.text("abc\n"), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_a_moved_middle_can_be_put_back(text, one, other, is_spm):
    low, high = sorted(min(n, len(text)) for n in (one, other))
    made = moved(text, low, high, MARKS, is_spm)
    if is_spm:
        suffix, rest = made.removeprefix("<P><S>").split("<M>")
        assert rest + suffix == text
    else:
        prefix, rest = made.removeprefix("<P>").split("<S>")
        suffix, middle = rest.split("<M>")
        assert prefix + middle + suffix == text


def test_half_the_records_have_a_middle_moved_in_either_order():
    step = Middles(MiddlesConfig(min_characters=3))
    assert isinstance(step, Derive)
    records = [plain(words(n, 30), f"{n}") for n in range(400)]
    made = [one for record in records for one in step(record)]
    assert 160 < len(made) < 240 and made == [one for record in records for one in step(record)]
    orders = [one.metadata["fim"] for one in made]
    assert 0.35 < orders.count("spm") / len(orders) < 0.65
    assert all(one.metadata["synthetic"] == "fim" and one.metadata["parent"] for one in made)
    always = Middles(MiddlesConfig(rate=1))
    assert always(plain("x <|fim_middle|> " * 20)) == [] and always(plain("short")) == []


def test_noise_reads_what_looks_alike_at_its_rate():
    text = "the modern clock in the hall\n" * 500
    (made,) = Noise(NoiseConfig(rate=1, errors=0.05))(plain(text))
    places = len(Noise(NoiseConfig()).pattern.findall(text))
    assert 0.03 < made.metadata["misread"] / places < 0.07
    assert made.text.count("\n") == 500 and made.text != text
    assert made == Noise(NoiseConfig(rate=1, errors=0.05))(plain(text))[0]
    only = NoiseConfig(rate=1, errors=1, confusions={"rn": "m"})
    assert Noise(only)(plain("modern barn"))[0].text == "modem bam"
    assert Noise(only)(plain("nothing")) == []
    with pytest.raises(ConfigError, match="confusions"):
        NoiseConfig(confusions={"a": "a"})


def test_docstrings_and_their_functions_are_pairs():
    text = (
        "import os\n\n\nclass A:\n    @cached\n    def size(self):\n"
        '        """Return the size of it in bytes."""\n        return self.n\n\n'
        'def f():\n    """Short."""\n    return 1\n'
    )
    made = Comments(CommentsConfig())(plain(text, "a.py", "python"))
    code = "@cached\ndef size(self):\n    return self.n"
    said = "Return the size of it in bytes."
    assert [one.text for one in made] == [f"{said}\n\n{code}", f"{code}\n\n{said}"]
    for one in made:
        parts = {span.kind: one.text[span.start : span.end] for span in one.spans}
        assert parts == {"comment": said, "code": code}


def test_comments_above_code_are_pairs_in_other_languages():
    text = (
        "#!/bin/sh\n\n// Adds two numbers and\n// returns the sum.\nint add(int a) {\n  return a;\n"
        "}\n\n// alone here with nothing below\n\nint x;\n# also a comment of words\ny = 1\n"
    )
    made = Comments(CommentsConfig())(plain(text, "a.c", "code"))
    assert [one.text for one in made[::2]] == [
        "Adds two numbers and\nreturns the sum.\n\nint add(int a) {\n  return a;\n}",
        "also a comment of words\n\ny = 1",
    ]
    assert Comments(CommentsConfig())(plain(text, "a.txt")) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text):
    for kind, name in (("code", "a.c"), ("python", "a.py")):
        for step in (
            Comments(CommentsConfig()), Noise(NoiseConfig(rate=1)), Middles(MiddlesConfig(rate=1))
        ):  # fmt: skip
            for one in step(plain(text, name, kind)):
                assert one.metadata["parent"] == name
