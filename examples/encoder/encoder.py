"""An encoder learns words from hidden text, then to tell opinions, beside a bag of words.

    prose and rated texts -> tokenizer -> tokens -> word2vec -> masked pre-training -> classifiers

The ratings are means of twenty people's, from -4 to 4. Whole texts are held out, and nothing reads
them before the end. A text of rating r is positive with probability sigmoid(1.5 r), so that texts
of which people were of two minds say so.
Source: Hutto and Gilbert 2014, ICWSM; the data is under MIT in vaderSentiment's distribution.
"""

import html
import random
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from groundup.core import Artifact, Config, DataError, Draft, device, digest, hash_file, produce
from groundup.embeddings import TokenizedText, Vectors, Word2VecConfig, save_vectors, word2vec
from groundup.kernels import LossSum
from groundup.measure import bootstrap, paired_difference
from groundup.model import Head, HeadConfig, ModelWithHead, load
from groundup.tokenizer import (
    DOCUMENT_END,
    MASK,
    DocumentText,
    FastTokenizer,
    Shard,
    TokenizerConfig,
    load_tokenizer,
    write_tokenizer,
    write_tokens,
)
from groundup.train import (
    MicroBatch,
    OptimConfig,
    PretrainConfig,
    RunIdentity,
    TrainingConfig,
    TrainingData,
    TrainingRun,
    TrainingTask,
    class_batch,
    pretrain,
)

TABLES = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
PIECE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]+|_+")
MIN_RATING = 0.5
"""Ratings nearer to 0 are read, but never asked about."""
SHARPNESS, MAX_TOKENS = 1.5, 128
# Gentle rates, which keep what the vectors know: at the defaults the embedding moves four times its
# own size in a step, and the classifiers were no better than the words (docs/log, 2026-11-26).
GENTLE = OptimConfig(learning_rate=3e-4, muon_learning_rate=0.001, embedding_learning_rate=1e-4)


class ReadingConfig(Config):
    """What is read: a hash of it."""

    source_digest: str


class TuneConfig(TrainingConfig):
    """How a classifier is tuned."""

    epochs: int = 3
    rows: int = 32
    """Texts of a step."""
    hidden: float = 0.2
    """Share of the tokens that are hidden, drawn again each time: no single word is relied on."""
    ema_decay: float = 0.99
    optim: OptimConfig = OptimConfig(
        matrix_optimizer="adamw", learning_rate=1e-3, embedding_learning_rate=1e-3,
        weight_decay=0.1, warmup=0.1, decay=0.9,
    )  # fmt: skip


class Rated(NamedTuple):
    """A sentence with what people thought of it."""

    id: str
    group: str
    """The text that it is from."""
    text: str
    rating: float


def encoder(
    ratings: Path, *, text: Sequence[Path] = (), thesaurus: Path | None = None,
    out: Path = Path("runs/encoder"), tokens: int = 400_000, vocab: int = 16_384, seeds: int = 3,
) -> str:  # fmt: skip
    """Pre-train an encoder on hidden words, tune it to tell opinions, and compare it with words.

    ratings    folder hutto_ICWSM_2014 of vaderSentiment's source distribution
    text       a file of English prose, an empty line between paragraphs; repeatable
    thesaurus  words.txt of the npm package moby: what is like a word, line by line
    out        folder of the artifacts; run again, complete ones are kept
    tokens     tokens of masked pre-training
    vocab      ids of the vocabulary
    seeds      classifiers, each from a seed of its own
    """
    splits = read_ratings(ratings)
    files = [*text, *([thesaurus] if thesaurus else [])]
    sources = [hash_file(path) for path in files]
    config = ReadingConfig(source_digest=digest([sources, *map(list, splits["train"])]))
    prose = partial(read_prose, text, thesaurus)
    base = train_base(config, prose, splits, out, tokens=tokens, vocab=vocab)
    answers = [tune(TuneConfig(seed=seed), base, splits, out) for seed in range(seeds)]
    return "\n".join(compare(answers, splits))


def read_ratings(folder: Path) -> dict[str, list[Rated]]:
    """The rated sentences by split; all of one text are in one split."""
    splits: dict[str, list[Rated]] = {"train": [], "validation": [], "test": []}
    for kind in TABLES:
        path = folder / f"{kind}_GroundTruth.txt"
        if not path.is_file():
            raise DataError(f"There is no {path}; expected the folder hutto_ICWSM_2014.")
        for line in path.read_text("utf-8", "replace").splitlines():
            name, rating, text = line.split("\t", 2)
            group = f"{kind}/{name.split('_')[0]}"
            place = int(digest(group), 16) % 100
            split = "test" if place < 25 else "validation" if place < 35 else "train"
            text = html.unescape(text).strip()
            splits[split].append(Rated(f"{kind}/{name}", group, text, float(rating)))
    return splits


def read_prose(files: Sequence[Path], thesaurus: Path | None) -> Iterator[str]:
    """Paragraphs of the files, and lines of the thesaurus, in which a word returns among the like.

    They are shuffled: in the alphabet's order neighbours are alike in spelling, not in sense.
    """
    for path in files:
        yield from re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))
    for line in thesaurus.read_text(encoding="utf-8").splitlines() if thesaurus else ():
        word, *alike = line.split(",")
        random.Random(digest(word)).shuffle(alike)
        parts = [alike[i : i + 8] for i in range(0, len(alike), 8)]
        yield " ".join(each for part in parts for each in (word, *part))


def plain(text: str) -> str:
    """A text as the encoder reads it: few texts cannot teach that Good, good and "good are one.

    >>> plain("It's GREAT!! :)")
    " it's great !! :)"
    """
    return "".join(f" {piece}" for piece in PIECE.findall(text.lower()))


def train_base(
    reading: ReadingConfig, prose: Any, splits: dict[str, list[Rated]], out: Path, *,
    tokens: int, vocab: int,
) -> Artifact:  # fmt: skip
    """The pre-trained encoder; the texts for testing are never read."""
    rated = {split: [plain(row.text) for row in splits[split]] for split in ("train", "validation")}

    def documents(split: str) -> Iterator[DocumentText]:
        texts = [*map(plain, prose()), *rated["train"]] if split == "train" else rated[split]
        return (DocumentText(f"{split}/{n}", text) for n, text in enumerate(texts) if text)

    def make(kind: Any, name: str, settings: Config, parents: dict, write: Any) -> Artifact:
        return produce(out / name, kind=kind, stage=f"encoder_{name}", version=3, config=settings,
                       parents=parents, write=write)  # fmt: skip

    source = make("documents", "reading", reading, {}, lambda draft: None)
    words = TokenizerConfig(vocab_size=vocab, pattern="gpt-2", specials=("chat", "encoder"))
    texts = [*rated["train"] * 5, *list(map(plain, prose()))[::4]]  # words of opinions stay whole
    tokenizer = make("tokenizer", "tokenizer", words, {"reading": source},
                     lambda draft: write_tokenizer(draft, words, texts))  # fmt: skip
    known = load_tokenizer(tokenizer.path)
    assert isinstance(known, FastTokenizer)
    parents = {"reading": source, "tokenizer": tokenizer}
    shards = make(
        "tokens", "tokens", reading, parents,
        lambda draft: write_tokens(draft, known, {split: documents(split) for split in rated}),
    )  # fmt: skip
    vectors = make("vectors", "vectors", reading, {"tokens": shards},
                   lambda draft: write_vectors(draft, Shard.open(shards, "train")))  # fmt: skip
    config = PretrainConfig(
        preset="modernbert-tiny", layers=2, tokens=tokens, batch_tokens=1024, length=128,
        context_length=128, long_share=0.0, optim=GENTLE,
    )  # fmt: skip
    return pretrain(config, shards, tokenizer, out / "encoder", vectors=vectors)


def write_vectors(draft: Draft, shard: Shard) -> None:
    """word2vec over the ids: it learns words from all their uses, a hundred times as fast."""
    counts = np.bincount(shard.ids)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    place = np.zeros(len(counts), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    config = Word2VecConfig(model="skip_gram", width=128, epochs=5, sample=1e-4, learning_rate=0.04)
    text = TokenizedText(place[shard.ids], shard.ends.astype(np.int64))
    matrix = word2vec(text, counts[order], config, seed=1, threads=1)
    save_vectors(Vectors([str(id) for id in order.tolist()], matrix, counts[order]), draft)


def tune(
    config: TuneConfig, base: Artifact, splits: dict[str, list[Rated]], out: Path
) -> list[bool]:
    """What a classifier of one seed says of the test texts, kept in `answers.txt`."""
    identity = RunIdentity(objective="opinion", settings=config.hashed_values())

    def write(draft: Draft) -> None:
        body = load(base.path, dtype=torch.float32).to(device.default_device())
        head = Head(HeadConfig(kind="number", pooling="mean"), body.config.width)
        head.initialise(config.seed)
        model = ModelWithHead(body, head.to(device.default_device()))
        data = training_data(config, base, splits)
        task = TrainingTask(body, model, opinion, data, "classifier", is_compiled=False)
        run = TrainingRun(draft, config, task, identity)
        run.train_to_end()
        with run.averaged_weights(), torch.no_grad():
            model.eval()
            batches = batches_of(base, asked(splits["test"]), 64)
            said = [bool(z > 0) for batch in batches for z in predict(model, batch)]
        draft.file("answers.txt").write_text("\n".join("+" if each else "-" for each in said))

    made = produce(
        out / f"classifier-{config.seed}", kind="report", stage="encoder_tune", version=3,
        config=config, parents={"encoder": base}, write=write,
    )  # fmt: skip
    return [line == "+" for line in made.file("answers.txt").read_text().splitlines()]


def asked(rows: list[Rated]) -> list[Rated]:
    """The sentences that have an opinion."""
    return [row for row in rows if abs(row.rating) >= MIN_RATING]


def batches_of(base: Artifact, rows: Sequence[Rated], count: int) -> list[MicroBatch]:
    """Rated texts as batches, in order; a label is the probability that a text is positive."""
    known = load_tokenizer(base.path)
    end = known.specials[DOCUMENT_END]
    batches = []
    for own in (rows[i : i + count] for i in range(0, len(rows), count)):
        ids = [[*known.encode(plain(row.text))[: MAX_TOKENS - 1], end] for row in own]
        labels = torch.tensor([SHARPNESS * row.rating for row in own]).sigmoid()
        batches.append(class_batch(ids, [0] * len(own))._replace(labels=labels))
    return batches


def training_data(
    config: TuneConfig, base: Artifact, splits: dict[str, list[Rated]]
) -> TrainingData:
    """Texts shuffled in each epoch, like lengths together, a share of their tokens hidden."""
    rows, mask = splits["train"], load_tokenizer(base.path).specials[MASK]
    lengths, order = np.array([len(row.text) for row in rows]), list[np.ndarray]()
    for epoch in range(config.epochs):
        draws = np.random.default_rng([config.seed, epoch])
        near = np.argsort(lengths + draws.uniform(0, 64, len(rows)), kind="stable")
        parts = np.array_split(near, -(-len(near) // config.rows))
        order += [parts[i] for i in draws.permutation(len(parts))]

    def batch(step: int) -> MicroBatch:
        (made,) = batches_of(base, [rows[i] for i in order[step]], config.rows)
        assert made.documents is not None
        draws = np.random.default_rng([config.seed, step, 1])
        chance = torch.from_numpy(draws.random(tuple(made.ids.shape)))
        is_hidden = (chance < config.hidden) & (made.documents >= 0)
        return made._replace(ids=made.ids.masked_fill(is_hidden, mask))

    per_step = config.rows * MAX_TOKENS  # an upper bound, for the progress bar
    return TrainingData(
        batch, len(order), lambda step: step * per_step, lambda step: MAX_TOKENS,
        {"": batches_of(base, asked(splits["validation"]), 64)},
    )  # fmt: skip


def predict(model: ModelWithHead, batch: MicroBatch) -> torch.Tensor:
    """The classifier's number of each text, (B,): positive above 0."""
    place = next(model.parameters()).device
    documents = None if batch.documents is None else batch.documents.to(place)
    return model(batch.ids.to(place), documents=documents).float()


def opinion(model: ModelWithHead, batch: MicroBatch) -> LossSum:
    """Cross-entropy of each text's probability, in nats."""
    assert batch.labels is not None and batch.label_weights is not None
    nats = F.binary_cross_entropy_with_logits(predict(model, batch), batch.labels, reduction="none")
    return LossSum(nats.sum(), batch.label_weights.sum())


def compare(answers: list[list[bool]], splits: dict[str, list[Rated]]) -> list[str]:
    """Shares of right answers, and the difference from logistic regression on words."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    learnt, test = asked(splits["train"]), asked(splits["test"])
    truth = np.array([row.rating > 0 for row in test])
    pattern = r"[^\W_]+(?:['’][^\W_]+)?|[!?]|[:;=][-']?[()DPp/|]"  # words, marks of feeling, faces

    def right(C: float, rows: list[Rated]) -> np.ndarray:
        count = CountVectorizer(token_pattern=pattern, binary=True, min_df=2)
        words = make_pipeline(count, LogisticRegression(C=C, max_iter=1000))
        words.fit([row.text for row in learnt], [row.rating > 0 for row in learnt])
        return words.predict([row.text for row in rows]) == [row.rating > 0 for row in rows]

    held_out = asked(splits["validation"])
    best = max((0.01, 0.03, 0.1, 0.3, 1.0, 3.0), key=lambda C: right(C, held_out).mean())
    bag = right(best, test).astype(float)
    own = np.mean([np.array(each) == truth for each in answers], axis=0)
    groups = [row.group for row in test]
    return [
        f"{len(test)} unseen opinions of {len(set(groups))} texts",
        f"words            {bootstrap(bag, groups, limits=(0, 1))}",
        f"encoder          {bootstrap(own, groups, limits=(0, 1))}",
        f"encoder - words  {paired_difference(own, bag, groups)}",
    ]
