"""gensim's word2vec, phrases, neighbours and files on a small made-up text.

    tests/fixtures/word2vec/
        training.safetensors   for each way of training: first and last vectors, last outputs
        vectors.txt, .bin      saved by KeyedVectors.save_word2vec_format
        expected.json          the text, counts, trees, draws, phrases, neighbours, tests

One epoch, one thread, whole windows and no subsampling, so that nothing is drawn but negatives.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors, Phrases, Word2Vec
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "word2vec"
WORDS, SENTENCES, LENGTH, WIDTH, WINDOW, SEED = 40, 60, 16, 12, 3, 7
WAYS = {
    "skip_gram-negatives": {"sg": 1, "negative": 1},
    "skip_gram-hierarchical": {"sg": 1, "hs": 1, "negative": 0},
    "cbow-negatives": {"sg": 0, "negative": 1},
    "cbow-negatives-sum": {"sg": 0, "cbow_mean": 0, "negative": 1},
    "cbow-negatives-five": {"sg": 0},
    "cbow-hierarchical": {"sg": 0, "hs": 1, "negative": 0},
}


def made_up_text() -> list[list[str]]:
    """Sentences in which some words often follow each other."""
    random = np.random.default_rng(SEED)
    shares = 1 / np.arange(1, WORDS + 1)
    drawn = random.choice(WORDS, (SENTENCES, LENGTH), p=shares / shares.sum())
    drawn[:, 5] = np.where(drawn[:, 4] % 7 == 3, 39, drawn[:, 5])
    return [[f"w{id}" for id in row] for row in drawn]


def trained(text: list[list[str]], options: dict) -> tuple[dict, dict]:
    """First and last parameters, and what was drawn by."""
    model = Word2Vec(
        vector_size=WIDTH, window=WINDOW, min_count=1, sample=0, seed=SEED, workers=1, epochs=1,
        shrink_windows=False, alpha=0.05, **options,
    )  # fmt: skip
    model.build_vocab(text)
    first = model.wv.vectors.copy()
    model.train(text, total_examples=len(text), epochs=1)
    stream = np.random.RandomState(SEED)
    high, low = (int(number) for number in stream.randint(0, 2**24, 2))
    output = model.syn1 if model.hs else model.syn1neg
    tree = [
        {name: model.wv.get_vecattr(word, name).tolist() for name in ("point", "code")}
        for word in (model.wv.index_to_key if model.hs else [])
    ]
    told = {
        "words": model.wv.index_to_key,
        "counts": model.wv.expandos["count"].tolist(),
        "seed": 2**24 * high + low,
        "cumulative": model.cum_table.tolist() if not model.hs else [],
        "tree": tree,
    }
    return {"first": first, "last": model.wv.vectors, "output": output}, told


def keep_thresholds(text: list[list[str]]) -> list[int]:
    """How often words are kept, in the order of their counts."""
    model = Word2Vec(vector_size=4, min_count=1, sample=1e-2, sorted_vocab=1)
    model.build_vocab(text)
    return model.wv.expandos["sample_int"].tolist()


def phrases(text: list[list[str]]) -> dict:
    """Phrases and their scores, and the text with them joined."""
    found = {}
    for name, options in {
        "original": {"threshold": 0.2},
        "npmi": {"threshold": 0.15, "scoring": "npmi"},
    }.items():
        model = Phrases(text, min_count=3, **options)
        found[name] = {
            "threshold": options["threshold"],
            "scores": model.export_phrases(),
            "text": [list(model[sentence]) for sentence in text],
        }
    return found


def asked(vectors: KeyedVectors) -> dict:
    """Neighbours, analogies and tests as gensim answers them."""
    with tempfile.TemporaryDirectory() as folder:
        pairs, questions = Path(folder) / "pairs.tsv", Path(folder) / "questions.txt"
        pairs.write_text(PAIRS)
        questions.write_text(QUESTIONS)
        _, spearman, unknown = vectors.evaluate_word_pairs(str(pairs))
        _, sections = vectors.evaluate_word_analogies(str(questions))
    return {
        "neighbours": vectors.most_similar("w3", topn=8),
        "add": vectors.most_similar(positive=["w5", "w2"], negative=["w1"], topn=8),
        "multiply": vectors.most_similar_cosmul(positive=["w5", "w2"], negative=["w1"], topn=8),
        "pairs": PAIRS,
        "spearman": float(spearman[0]),
        "unknown_percent": unknown,
        "questions": QUESTIONS,
        "sections": {s["section"]: [len(s["correct"]), len(s["incorrect"])] for s in sections},
    }


PAIRS = "# a comment\n" + "".join(
    f"W{a}\tw{b}\t{rating}\n"
    for a, b, rating in [
        (0, 1, 9.0), (2, 3, 4.5), (4, 5, 1.0), (6, 7, 7.0), (8, 9, 3.0), (1, 12, 2.0),
        (3, 11, 8.0), (5, 13, 6.0), (7, 99, 5.0), (2, 14, 0.5),
    ]
)  # fmt: skip
QUESTIONS = ": first kind\n" + "".join(f"w{i} W{i + 1} w{i + 2} w{i + 5}\n" for i in range(12))
QUESTIONS += ": second\nw1 w2 w3 unknown\nw4 w5 w6 w0\nw7 w2 w9 w0\n"


def main() -> None:
    """Write everything."""
    OUT.mkdir(parents=True, exist_ok=True)
    text = made_up_text()
    tensors, told = {}, {}
    for name, options in WAYS.items():
        arrays, told[name] = trained(text, options)
        tensors |= {f"{name}.{part}": array for part, array in arrays.items()}
    save_file({name: np.ascontiguousarray(a) for name, a in tensors.items()},
              OUT / "training.safetensors")  # fmt: skip
    words = told["cbow-negatives"]["words"]
    vectors = KeyedVectors(WIDTH)
    spelt = [*words[:-1], "naïve"]
    vectors.add_vectors(spelt, tensors["skip_gram-negatives.last"] * 10)
    vectors.save_word2vec_format(str(OUT / "vectors.txt"))
    vectors.save_word2vec_format(str(OUT / "vectors.bin"), binary=True)
    expected = {
        "text": text,
        "training": told,
        "keep": keep_thresholds(text),
        "phrases": phrases(text),
        "spelt": spelt,
        "asked": asked(vectors),
    }
    (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
