"""A tiny encoder-decoder learns to translate from one manual in two languages.

    two folders of pages -> pairs -> tokenizer -> model -> BLEU and chrF beside two baselines

A translated page has the elements of its original, so the n-th paragraph of one is the n-th of the
other. Whole pages are held out, and of them no source that training has seen.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import Artifact, Config, DataError, Draft, device, digest, produce, write_text
from groundup.generate import BeamConfig, Engine, beam_search
from groundup.measure import Bleu, Chrf, corpus_counts, corpus_interval
from groundup.model import ModelConfig, Transformer, preset, save
from groundup.tokenizer import DOCUMENT_END, TokenizerConfig, load_tokenizer, write_tokenizer
from groundup.train import (
    DEFAULT_OPTIONS,
    Mesh,
    MicroBatch,
    OptimConfig,
    RunIdentity,
    SourceTarget,
    TrainingConfig,
    TrainingData,
    TrainingRun,
    TrainingTask,
    produce_model,
    sequence_batch,
    sequence_to_sequence_loss,
)

BLOCKS = set("title desc p h1 h2 h3 h4 h5 h6 li td th dt dd item div para caption".split())
LEFT_OUT = set("script style pre screen credit mal:credit noscript nav aside footer".split())
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[^\W\d_]|[¿¡\"“«„(])")
WORD = re.compile(r"\w+")
MEASURES = {"BLEU": Bleu(), "chrF": Chrf()}
MAX_CHARACTERS, MAX_RATIO = 200, 2.0


class PairsConfig(Config):
    """Which pairs: their hash, so that other pages make another artifact."""

    source_digest: str


class TranslateConfig(TrainingConfig):
    """How to train."""

    preset: str = "t5-tiny"
    epochs: float = 4.0
    batch_tokens: int = 1024
    """Most tokens of a step, the longer side of each pair counted, padding included."""
    optim: OptimConfig = OptimConfig(warmup=0.05, decay=0.7)
    validations: int = 8


def translate(
    source: Path, target: Path, *, out: Path = Path("runs/translate"), epochs: float = 4.0,
    vocab: int = 4096, sentences: int = 400,
) -> str:  # fmt: skip
    """Learn to translate from a manual in two languages, and say by how much it beats a dictionary.

    source     folder of pages in the language to translate from
    target     folder of the same pages in the language to translate to
    out        folder of the artifacts; run again, complete ones are kept
    epochs     passes over the pairs, which determine the time
    vocab      ids of the vocabulary that both languages share
    sentences  held-out sentences to translate
    """
    pairs = make_pairs(source, target, out / "pairs")
    words = TokenizerConfig(vocab_size=vocab)
    texts = [text for pair in read_pairs(pairs, "train") for text in pair[:2]]
    tokenizer = produce(
        out / "tokenizer", kind="tokenizer", stage="translate_tokenizer", version=1, config=words,
        parents={"pairs": pairs}, write=lambda draft: write_tokenizer(draft, words, texts),
    )  # fmt: skip
    model = train_translator(TranslateConfig(epochs=epochs), pairs, tokenizer, out / "model")
    return "\n".join([*compare(model, pairs, sentences), f"The model is {model.path}"])


class _Page(HTMLParser):
    """The elements of a page that have text, in order, as (tag, text)."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks, self.tag, self.text, self.depth = list[tuple[str, str]](), "", "", 0
        self.feed(text)
        self.open("")

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.depth += tag in LEFT_OUT
        if tag in BLOCKS | LEFT_OUT:
            self.open(tag if tag in BLOCKS else "")

    def handle_endtag(self, tag: str) -> None:
        self.depth = max(0, self.depth - (tag in LEFT_OUT))
        if tag in BLOCKS | LEFT_OUT:
            self.open("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """An empty element has no text."""

    def handle_data(self, data: str) -> None:
        if self.tag and not self.depth:
            self.text += data

    def open(self, tag: str) -> None:
        """Close the block that is open, and open another."""
        if text := " ".join(self.text.split()):
            self.blocks.append((self.tag, text))
        self.tag, self.text = tag, ""


def find_pairs(source: Path, target: Path) -> list[tuple[str, str, str]]:
    """(source, target, page) of each sentence, each pair once; DataError if there is none."""
    pairs: dict[tuple[str, str], str] = {}
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        other = target / (page := path.relative_to(source))
        if not other.is_file():
            continue
        left, right = (_Page(p.read_text("utf-8", "replace")).blocks for p in (path, other))
        if [tag for tag, _ in left] != [tag for tag, _ in right]:
            continue  # elements were added or left out
        for (_, a), (_, b) in zip(left, right, strict=True):
            parts = SENTENCE.split(a), SENTENCE.split(b)
            same = len(parts[0]) == len(parts[1])
            for pair in zip(*parts, strict=True) if same else [(a, b)]:
                if _is_good(*pair):
                    pairs.setdefault(pair, page.as_posix())
    if not pairs:
        raise DataError(f"{source} and {target} share no page of the same elements.")
    return [(a, b, page) for (a, b), page in pairs.items()]


def _is_good(a: str, b: str) -> bool:
    """Whether a pair was translated, has words and is of like and moderate length."""
    short, long = sorted((len(a), len(b)))
    is_alike = long < 20 or long <= MAX_RATIO * short
    return a != b and is_alike and long <= MAX_CHARACTERS and bool(WORD.search(a))


def make_pairs(source: Path, target: Path, out: Path) -> Artifact:
    """One JSON line a pair in train.jsonl, validation.jsonl and test.jsonl; split by page."""
    pairs, seen = find_pairs(source, target), set[str]()
    splits: dict[str, list[tuple[str, str, str]]] = {"train": [], "validation": [], "test": []}
    for pair in pairs:
        place = int(digest(pair[2])[:8], 16) % 10
        splits[{0: "test", 1: "validation"}.get(place, "train")].append(pair)
    for name, own in splits.items():  # what training has seen as a source is not held out
        splits[name] = [pair for pair in own if name == "train" or pair[0] not in seen]
        seen |= {pair[0] for pair in splits[name]}
    if empty := [name for name, own in splits.items() if not own]:
        raise DataError(f"{len(pairs)} pairs leave {', '.join(empty)} empty; give more pages.")

    def write(draft: Draft) -> None:
        for name, own in splits.items():
            lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in own]
            write_text(draft.file(f"{name}.jsonl"), "".join(lines))

    return produce(
        out, kind="documents", stage="translate_pairs", version=1, parents={}, write=write,
        config=PairsConfig(source_digest=digest([list(pair) for pair in pairs])),
    )  # fmt: skip


def read_pairs(pairs: Artifact, split: str) -> list[list[str]]:
    """[source, target, page] of each pair of a split."""
    lines = pairs.file(f"{split}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def train_translator(
    config: TranslateConfig, pairs: Artifact, tokenizer: Artifact, out: Path
) -> Artifact:
    """Train a model on pairs; a stopped run resumes from its last checkpoint."""
    identity = RunIdentity(
        tokenizer=tokenizer.id, objective="translation", settings=config.hashed_values(),
        parents={"pairs": pairs, "tokenizer": tokenizer},
    )  # fmt: skip
    return produce_model(
        config, out, partial(_train_and_save, config, pairs, tokenizer, identity),
        stage="translate", version=2, identity=identity, run_options=DEFAULT_OPTIONS,
    )  # fmt: skip


def _train_and_save(
    config: TranslateConfig, pairs: Artifact, tokenizer: Artifact, identity: RunIdentity,
    draft: Draft, mesh: Mesh,
) -> None:  # fmt: skip
    known = load_tokenizer(tokenizer.path)
    end = known.specials[DOCUMENT_END]
    text, held_out = (
        [SourceTarget([*known.encode(a), end], [*known.encode(b), end]) for a, b, _ in own]
        for own in (read_pairs(pairs, split) for split in ("train", "validation"))
    )
    own = preset(config.preset).config
    updates: dict[str, Any] = {"vocab_size": known.vocab_size, "tied_embeddings": False}
    updates["output"] = own.output.model_copy(update={"scale": 1.0})  # of a free head, as T5 1.1
    shape = own.model_copy(update=updates)
    # Muon moves every matrix equally far. T5 does not scale its scores: there the same step moves
    # them sqrt(head_dim) times as far, and attention to the source is found late.
    attention = shape.attention.model_copy(update={"scale": None})
    trained = shape.model_copy(update={"attention": attention})
    body = Transformer(trained, seed=config.seed).to(device.default_device())
    task = TrainingTask(
        body, body, sequence_to_sequence_loss, training_data(config, text, held_out, end),
        name="translate", is_compiled=False,
    )  # fmt: skip
    run = TrainingRun(draft, config, task, identity._replace(model=trained.to_dict()), mesh=mesh)
    run.train_to_end()
    if mesh.is_first:
        save(_fold_scale(run.final_model(), shape), draft.path, tokenizer.path)


def _fold_scale(model: Transformer, shape: ModelConfig) -> Transformer:
    """The same function in the preset's shape: the scale of scores goes into the queries."""
    part = shape.attention
    factor = 1.0 if part.scale is None else 1 / (part.scale * math.sqrt(part.head_dim))
    folded = Transformer(shape, seed=None)
    folded.load_state_dict(
        {n: t * factor if ".q_proj." in n else t for n, t in model.state_dict().items()}
    )
    return folded


def training_data(
    config: TranslateConfig, text: list[SourceTarget], held_out: list[SourceTarget], end: int
) -> TrainingData:
    """Batches of pairs of like length, so that little is padding; each epoch in another order."""

    def batch(pairs: list[SourceTarget], chosen: Sequence[int]) -> MicroBatch:
        return sequence_batch([[pairs[i]] for i in chosen], start=end, multiple=8)

    steps = _batches_of(text, config, config.epochs)
    tokens = np.cumsum([0, *(batch(text, chosen).ids.numel() for chosen in steps)])
    return TrainingData(
        lambda step: batch(text, steps[step]),
        len(steps),
        lambda step: int(tokens[step]),
        lambda step: batch(text, steps[step]).ids.shape[1],
        {"": [batch(held_out, chosen) for chosen in _batches_of(held_out, config, 1.0)]},
    )


def _batches_of(
    pairs: list[SourceTarget], config: TranslateConfig, epochs: float
) -> list[list[int]]:
    """The pairs of every step: shuffled in each epoch, like lengths together."""
    lengths = np.array([max(map(len, pair)) for pair in pairs])
    steps: list[list[int]] = []
    for epoch in range(math.ceil(epochs)):
        random, batches = np.random.default_rng([config.seed, epoch]), list[list[int]]()
        for i in np.argsort(lengths + random.uniform(0, 8, len(pairs)), kind="stable").tolist():
            rows = [*batches[-1], i] if batches else []
            if not rows or lengths[rows].max() * len(rows) > config.batch_tokens:
                batches.append(rows := [i])
            batches[-1] = rows
        count = max(1, round(min(1.0, epochs - epoch) * len(batches)))
        steps += [batches[i] for i in random.permutation(len(batches))[:count].tolist()]
    return steps


def learn_dictionary(pairs: Sequence[Sequence[str]], rounds: int = 8) -> dict[str, str]:
    """The likeliest translation of each word, by IBM's model 1: Brown et al. 1993, section 4.1.

    >>> pairs = [("the house", "a casa"), ("the sun", "o sol"), ("house", "casa")]
    >>> learn_dictionary(pairs)["house"]
    'casa'
    """
    texts = [[WORD.findall(text.lower()) for text in pair[:2]] for pair in pairs]
    share: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        count, owner = Counter[tuple[str, str]](), Counter[str]()
        for left, right in texts:
            for b in right:
                explained = sum(share[a, b] for a in (*left, ""))  # "" explains what none does
                for a in (*left, ""):
                    count[a, b] += share[a, b] / explained
                    owner[a] += share[a, b] / explained
        share = defaultdict(float, {(a, b): n / owner[a] for (a, b), n in count.items()})
    best: dict[str, str] = {}
    for (a, b), _ in sorted(share.items(), key=lambda item: -item[1]):
        best.setdefault(a, b)
    return best


def compare(model: Artifact, pairs: Artifact, count: int) -> list[str]:
    """A line for each system and measure, with 95 % intervals over pages, and some sentences."""
    held_out = read_pairs(pairs, "test")
    chosen = held_out[:: max(1, len(held_out) // count)][:count]
    sources, references, pages = zip(*chosen, strict=True)
    engine, words = Engine.open(model.path), learn_dictionary(read_pairs(pairs, "train"))
    written: list[str] = []
    for start in range(0, count, 64):
        prompts = [engine.encode_prompt(text) for text in sources[start : start + 64]]
        beams = beam_search(engine, prompts, BeamConfig(width=4, max_tokens=128)) if prompts else []
        written += [best.generation.text.strip() for best, *_ in beams]
    systems = {
        "copy": list(sources),
        "dictionary": [
            WORD.sub(lambda found: words.get(found[0].lower(), found[0]), text) for text in sources
        ],
        "model": written,
    }
    lines = [f"{len(sources)} unseen sentences of {len(set(pages))} pages"]
    for name, measure in MEASURES.items():
        for system, texts in systems.items():
            counts = corpus_counts(measure, texts, [(text,) for text in references])
            found = corpus_interval(measure, counts.rows, pages)
            lines.append(f"{name:<5} {system:<11} {found}")
    return [*lines, *(f"  {a} => {b}" for a, b in zip(sources[:8], written, strict=False))]
