"""What the makers' own libraries make of the same lines: ids, and chats rendered and encoded.

    make oracles                     (or `PYTHON=… make -C tests/oracles tokenizers_imported.py`)

Writes tests/fixtures/imported/:
    lines.json            lines of every kind: code, scripts, emoji, spaces, typed specials
    NAME.model.xz         small SentencePiece models, trained here: joined, likeliest, extended
    words/                a small WordPiece directory
    pairs/                a small byte-level directory with BOS around texts
    small.json.xz         ids of the lines by each of those
    large.json            ids of some lines, and chats, by tokenizers too large to keep

Large ones lie where tests/tokenizer/imported/fixtures.py says; without them their
file is left as it is.
"""

import io
import json
import lzma
import os
import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "fixtures" / "imported"
LARGE = os.environ.get("GROUNDUP_TOKENIZERS")

SCRIPTS = [
    "Ελληνικά κείμενο", "кириллица русский текст", "日本語テキスト漢字かな", "हिन्दी में पाठ",
    "العربية نص", "עברית", "한국어 문장입니다", "ไทย", "🙂🙃👩‍👩‍👧‍👦🏳️‍🌈", "naïve café Ångström",
    "e\u0301 a\u0308", "\u2581 x", "<s></s>[INST] <unk>", "<bos><start_of_turn>user",
    "<|im_end|><|endoftext|><|eot_id|>", "[CLS] [MASK] [UNK]", "<0x0A>", "\x00\x01\x07\x1b[0m",
    "\r\n\r", "\t\t\tx", "   ", "x" * 40, "ﬁ ﬂ ½ ²", "\u200b\ufeff\u00a0\u3000", "𝔘𝔫𝔦",
    "1234567890 3.14159", "def f(x):\n    return x**2\n\n\n", "http://a.b/c?d=e&f=%20",
    "'s 'LL I'VE", "!!!???...---", "مرحبا hello 你好 мир", "<think>\n\n</think>",
    "a" + " " * 70 + "b",
]  # fmt: skip

CHATS = [
    [{"role": "user", "content": "What is a shard?"}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there.\n\n- a\n- b"},
        {"role": "user", "content": "  1+1?\n"},
        {"role": "assistant", "content": "\n 2 "},
        {"role": "user", "content": "ok"},
        {"role": "assistant", "content": "fine 🙂"},
    ],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{ x }} {% y %} <b>"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "日本語"},
        {"role": "assistant", "content": "はい"},
    ],
]
CHATTING = ("qwen3", "llama3_1", "gemma3", "deepseek_v3")


def lines() -> list[str]:
    """The lines: single ones, joined ones, and characters at random."""
    pick = random.Random(7)
    found = ["", " ", *SCRIPTS]
    for _ in range(60):
        found.append(pick.choice(["", " ", "  "]).join(pick.choices(SCRIPTS, k=3)))
    parts = ["a", "b", "the", " ", "  ", "\n", "\n\n", "\t", "word", "é", ".", " " * 17, " " * 33]
    for _ in range(60):
        found.append("".join(pick.choices(parts, k=12)))
    for _ in range(40):
        found.append("".join(chr(pick.choice([pick.randint(0, 127), pick.randint(128, 0x2FFF)]))
                             for _ in range(12)))  # fmt: skip
    return found


def train_sentencepiece(texts: list[str]) -> None:
    """Four small models: as Llama's, as Gemma's, as T5's, and one whose scores are tied."""
    import sentencepiece

    def train(name: str, **options: object) -> None:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([each for text in texts for each in text.split("\n") if each]),
            model_writer=model, minloglevel=2, hard_vocab_limit=False, num_threads=1, **options,
        )  # fmt: skip
        (OUT / f"{name}.model.xz").write_bytes(lzma.compress(model.getvalue()))

    plain = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    train("llama", model_type="bpe", vocab_size=420, byte_fallback=True, split_digits=True,
          allow_whitespace_only_pieces=True, character_coverage=0.98, **plain)  # fmt: skip
    train("gemma", model_type="bpe", vocab_size=440, byte_fallback=True, add_dummy_prefix=False,
          user_defined_symbols=["\n", "\n\n", "\t", "▁▁", "▁▁▁", "▁▁▁▁", "<unused0>"],
          character_coverage=0.98, **plain)  # fmt: skip
    train("mixed", model_type="bpe", vocab_size=200, user_defined_symbols=["[A]", "▁▁"],
          character_coverage=0.98, **plain)  # fmt: skip
    train("t5", model_type="unigram", vocab_size=200, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
          character_coverage=0.98)  # fmt: skip
    tie()


def tie() -> None:
    """The first model with every score of a joined piece rounded, and some pieces unused."""
    from sentencepiece import sentencepiece_model_pb2

    for name, kind in (("tied", 1), ("unused", 5)):
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(lzma.decompress((OUT / "llama.model.xz").read_bytes()))
        for place, piece in enumerate(model.pieces):
            if piece.type == 1 and len(piece.own_rows_of) > 1:
                piece.score = -float(place // 9 if kind == 1 else place)
                piece.type = kind if place % 7 == 0 else 1
        (OUT / f"{name}.model.xz").write_bytes(lzma.compress(model.SerializeToString()))


def make_words(texts: list[str]) -> None:
    """A small WordPiece directory, with what makes batches of one length and must not cut texts."""
    from tokenizers import BertWordPieceTokenizer, processors

    made = BertWordPieceTokenizer(lowercase=True)
    made.train_from_iterator(texts, vocab_size=240, show_progress=False)
    (OUT / "words").mkdir(exist_ok=True)
    made.post_processor = processors.BertProcessing(
        *((name, made.token_to_id(name)) for name in ("[SEP]", "[CLS]"))
    )
    made.enable_truncation(8)
    made.enable_padding(length=8)
    made.save(str(OUT / "words" / "tokenizer.json"))
    names = sorted(made.get_vocab(), key=made.get_vocab().get)
    (OUT / "words" / "vocab.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    config = {"do_lower_case": True, "unk_token": "[UNK]", "cls_token": "[CLS]"}
    config |= {"sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    (OUT / "words" / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")


def make_pairs(texts: list[str]) -> None:
    """A small byte-level directory like Llama 3's, and GPT-2's two files of the same."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(texts, BpeTrainer(
        vocab_size=340, show_progress=False, special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    made.add_tokens([AddedToken("<think>", normalized=False, special=False)])
    made.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", 0)]
    )
    folder = OUT / "pairs"
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    made.model.save(str(folder))
    config = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")


def library_ids(file: Path, texts: list[str]) -> list[list[int]]:
    """Ids by `tokenizers`, special tokens in the texts as plain text, nothing cut or added."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(file))
    found.no_truncation()
    found.no_padding()
    found.encode_special_tokens = True
    return [each.ids for each in found.encode_batch(texts, add_special_tokens=False)]


def sentencepiece_ids(file: Path, texts: list[str]) -> list[list[int]]:
    """Ids by SentencePiece."""
    import sentencepiece

    model = file.read_bytes()
    model = lzma.decompress(model) if file.suffix == ".xz" else model
    return sentencepiece.SentencePieceProcessor(model_proto=model).encode(texts)


def tekken_ids(file: Path, texts: list[str]) -> list[list[int]]:
    """Ids by mistral-common."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    found = Tekkenizer.from_file(str(file))
    return [found.encode(text, bos=False, eos=False) for text in texts]


def chats(folder: Path) -> list[dict]:
    """Conversations by transformers' apply_chat_template."""
    from transformers import AutoTokenizer

    found, rows = AutoTokenizer.from_pretrained(folder), []
    for turns in CHATS:
        for opened in (False, True):
            text = found.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened)
            ids = found.apply_chat_template(turns, add_generation_prompt=opened)["input_ids"]
            rows.append({"messages": turns, "opened": opened, "text": text, "ids": ids})
    return rows


def write(name: str, value: object) -> None:
    """One file of the fixtures."""
    (OUT / name).write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")), "utf-8")


def main() -> None:
    """Make everything."""
    OUT.mkdir(parents=True, exist_ok=True)
    texts = lines()
    write("lines.json", texts)
    source = "\n".join(path.read_text("utf-8") for path in sorted(ROOT.glob("tokenizer/test_*.py")))
    corpus = [*source.split("\n\n"), *SCRIPTS[:10], *SCRIPTS]
    train_sentencepiece(corpus)
    make_words(corpus)
    make_pairs(corpus)
    files = {path.name.split(".")[0]: path for path in sorted(OUT.glob("*.model.xz"))}
    models = {name: sentencepiece_ids(path, texts) for name, path in files.items()}
    small = {each: library_ids(OUT / each / "tokenizer.json", texts) for each in ("words", "pairs")}
    told = json.dumps(models | small).encode()
    (OUT / "small.json.xz").write_bytes(lzma.compress(told))
    if not LARGE:
        return
    some, large = texts[:: max(1, len(texts) // 60)], Path(LARGE)
    ids = {name: library_ids(large / name / "tokenizer.json", some) for name in CHATTING}
    ids |= {path.name: sentencepiece_ids(path, some) for path in sorted(large.glob("*.model*"))}
    ids |= {path.name: tekken_ids(path, some) for path in sorted(large.glob("tekken*.json"))}
    told = {name: chats(large / name) for name in CHATTING}
    write("large.json", {"lines": some, "ids": ids, "chats": told})


if __name__ == "__main__":
    main()
