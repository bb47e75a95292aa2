"""Small texts that tests of the tokenizer share: real, repetitive, many scripts, hostile."""

import random
from pathlib import Path

from hypothesis import strategies as st

from groundup.tokenizer import FastTokenizer, train_bpe

ROOM = Path(__file__).resolve().parents[2] / "groundup"


def python_files() -> list[str]:
    """The package's own source."""
    return [path.read_text(encoding="utf-8") for path in sorted(ROOM.glob("core/*.py"))]


def random_letters(seed: int, size: int = 3000) -> str:
    """Few letters at random: many pairs are equally frequent."""
    return "".join(random.Random(seed).choices("abc \n", [4, 4, 4, 2, 1], k=size))


CORPORA = {
    "python": python_files(),
    "ties": ["ab cd ef gh ba dc fe hg"],
    "letters": [random_letters(1)],
    "runs": ["a" * 50 + " " * 40 + "ab" * 30 + "\n\n\n   x" + "=" * 77, "aaaaaaa aaa aaaaa"],
    "scripts": [
        "naïve façade Ελληνικά кириллица 日本語テキスト हिन्दी 🙂🙃 e\u0301é I'll WE'VE ſ's"
    ],
    "one": ["x"],
    "nothing": [""],
}

HOSTILE = [
    "",
    " ",
    "\x00\x00",
    "a" * 5000,
    " " * 5000 + "x",
    "\n \n\t\r\n" * 500,
    "<|endoftext|><|im_start|>user\n<|im_end|>",
    "'S 'LL 'Re 'VE's",
    "\u3000\u2028\x85\x1c\xa0 x",
    "👩‍👩‍👧‍👦" * 20 + "e\u0301",
    "\u200b\ufeff\uffff\U0010ffff",
    "aaab" * 300,
    "=" * 999 + "\r\n" * 99,
    "x" + " " * 99 + "\n" + " " * 99 + "y",
]

# Letters younger than Unicode 16 are letters to `regex` only; hypothesis knows older ones by name.
texts = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60) | st.text(
    " \n\r\tab1'sé<|>_=", max_size=80
)


def tokenizer(vocab_size: int = 700) -> FastTokenizer:
    """A tokenizer trained on the package's source."""
    return FastTokenizer(train_bpe(CORPORA["python"] + CORPORA["runs"], vocab_size - 3))
