"""A folder of small documents, and a tiny encoder that reads them."""

import random
from pathlib import Path

import torch

from groundup.documents import Record, read_folder
from groundup.model import Head, HeadConfig, ModelConfig, ModelWithHead, Transformer, preset, save
from groundup.retrieve.encoders.contrast import EncodedText, contrastive_batch
from groundup.train import MicroBatch

THINGS = "harbour lantern ledger bridge garden engine window kettle compass quarry".split()
DEEDS = "holds carries repeats follows measures answers remembers opens".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,>-"
CODE = '''
def {name}(values):
    """Return how the {thing} {deed} all values."""
    total = sum(value * {number} for value in values)
    return total + len(values) * {number} - min(values)
'''


def write_folder(folder: Path, count: int = 10) -> Path:
    """Markdown with titles and sections of sentences, and one module."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        thing = THINGS[number % len(THINGS)]
        sections = [f"# The {thing} of house {number}\n"]
        for part in ("Use", "Care"):
            said = [
                f"The {thing} {rng.choice(DEEDS)} the {rng.choice(THINGS)} number "
                f"{rng.randrange(900)} of house {number}."
                for _ in range(6)
            ]
            sections.append(f"## {part}\n\n{' '.join(said)}\n")
        (folder / f"{number}.md").write_text("\n".join(sections), encoding="utf-8")
    code = (CODE.format(name=f"f{i}", thing=THINGS[i], deed=DEEDS[i], number=i) for i in range(4))
    (folder / "module.py").write_text("\n".join(code), encoding="utf-8")
    return folder


def documents(folder: Path) -> list[Record]:
    """The folder's documents."""
    return [item for item in read_folder(write_folder(folder)) if isinstance(item, Record)]


def tiny_config(kind: str = "encoder") -> ModelConfig:
    """BERT's shape with one layer, 16 wide, or GPT-2's."""
    name = "bert-tiny" if kind == "encoder" else "gpt-2"
    whole = dict(preset(name).config)
    attention = whole["attention"].model_copy(update={"heads": 2, "kv_heads": 2, "head_dim": 8})
    feedforward = whole["feedforward"].model_copy(update={"width": 32})
    return ModelConfig(**whole | {
        "vocab_size": len(LETTERS) + 5 + len(LETTERS), "width": 16, "layers": 1,
        "context_length": 64, "attention": attention, "feedforward": feedforward,
    })  # fmt: skip


def write_base(folder: Path, kind: str = "encoder") -> Path:
    """A model directory with random weights and a vocabulary of letters."""
    save(Transformer(tiny_config(kind), seed=1), folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{x}" for x in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def embedder(dtype: torch.dtype = torch.float64) -> ModelWithHead:
    """A tiny encoder that gives unit vectors."""
    head = Head(HeadConfig(kind="embedding", pooling="mean"), 16)
    return ModelWithHead(Transformer(tiny_config(), seed=1), head).to(dtype)


def random_batch(pairs: int = 16, extra: int = 9) -> MicroBatch:
    """A batch of texts of all lengths, two pairs a document."""
    rng = random.Random(3)

    def text(document: int) -> EncodedText:
        return EncodedText([rng.randrange(5, 60) for _ in range(rng.randrange(2, 12))], document)

    queries = [text(i // 2) for i in range(pairs)]
    passages = [text(i // 2) for i in range(pairs)] + [text(100 + i) for i in range(extra)]
    return contrastive_batch(queries, passages, 12)
