"""What transformers makes of a tokenizer directory of ours: ids, texts and rendered chats.

    make oracles                                  (or `PYTHON=… make -C tests/oracles tokenizer.py`)

Reads   tests/fixtures/tokenizer/tokenizer.json, tokenizer_config.json, chat_template.jinja
Writes  tests/fixtures/tokenizer/transformers.json

The directory itself is made by groundup: `python tests/oracles/tokenizer.py make` with the Python
of the package. It is opened beside a config.json of Qwen3, as model directories have one.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1] / "fixtures" / "tokenizer"
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

TEXTS = [
    "def add(a: int, b: int) -> int:\n    return a + b\n",
    "I'll say it's WE'VE, \n\n\n  naïve façade\t12345 e\u0301 é",
    "Ελληνικά кириллица 日本語 हिन्दी 🙂 \u3000 \x85\u2028x",
    "a" * 60 + " " * 60 + "\r\n\r\n x",
    "  leading and trailing  ",
    "",
]

CHATS = [
    [{"role": "user", "content": "What is a shard?"}],
    [
        {"role": "system", "content": "Answer from the documents."},
        {"role": "user", "content": "\n\n  two lines\nof question  \n"},
        {"role": "assistant", "content": "An answer.\n\n- with\n- lines\n"},
        {"role": "user", "content": "{{ messages }} {% if x %} <b>&amp;</b>"},
        {"role": "assistant", "content": ""},
    ],
    [{"role": "user", "content": ""}],
]

CORPUS = (
    "The quick brown fox jumps over the lazy dog. def return import self class for in if not None "
    "shard token document answer question lines user assistant system What is the of and to a "
)


def make() -> None:
    """Write a small tokenizer directory with groundup itself."""
    from groundup.tokenizer import FastTokenizer, save_tokenizer, train_bpe

    texts = [CORPUS * 3, *TEXTS, " ".join(chat["content"] for turns in CHATS for chat in turns)]
    save_tokenizer(FastTokenizer(train_bpe(texts, 400 - 3)), HERE)


def answer() -> dict:
    """Open the directory as a Qwen3 model's with transformers and note what it gives."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            shutil.copy(HERE / name, folder)
        config = transformers.Qwen3Config(vocab_size=400).to_dict()
        config["architectures"] = ["Qwen3ForCausalLM"]
        (Path(folder) / "config.json").write_text(json.dumps(config))
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        resaved = Path(folder) / "resaved"
        theirs.save_pretrained(resaved)
        again = transformers.AutoTokenizer.from_pretrained(resaved)
    chats = []
    for turns in CHATS:
        for opened in (False, True):
            text = theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened)
            ids = theirs.apply_chat_template(turns, add_generation_prompt=opened)["input_ids"]
            chats.append({"messages": turns, "opened": opened, "text": text, "ids": ids})
    assert [again(text)["input_ids"] for text in TEXTS] == [theirs(t)["input_ids"] for t in TEXTS]
    return {
        "transformers": transformers.__version__,
        "files": {name: hashlib.sha256((HERE / name).read_bytes()).hexdigest() for name in FILES},
        "class": type(theirs).__name__,
        "length": len(theirs),
        "specials": {t: theirs.convert_tokens_to_ids(t) for t in theirs.all_special_tokens},
        "eos": theirs.eos_token,
        "pad": theirs.pad_token,
        "texts": [
            {"text": text, "ids": (ids := theirs(text)["input_ids"]), "decoded": theirs.decode(ids)}
            for text in TEXTS
        ],
        "spelt": theirs("a<|im_end|>b")["input_ids"],
        "chats": chats,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    else:
        found = json.dumps(answer(), indent=1, ensure_ascii=True)
        (HERE / "transformers.json").write_text(found + "\n", encoding="utf-8")
