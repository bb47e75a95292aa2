"""The classifier on labelled passages of real manuals.

    apt-get download debian-handbook gnome-user-docs; dpkg-deb -x into FOLDER
    python -m benchmarks.corpus.quality_models classifier FOLDER --split split.json
    ORACLE/bin/python -m benchmarks.corpus.quality_models oracle --split split.json  # scikit-learn

The task is to say which of two manuals a passage of 120 characters is from, split by page; the
oracle is scikit-learn's HashingVectorizer with LogisticRegression on the same passages, words and
pairs of words in a table of the same size.
"""

import argparse
import html
import json
import re
import time
from pathlib import Path

PARAGRAPH = re.compile(r'<(?:p(?:\s[^>]*)?|div class="para")>(.*?)</(?:p|div)>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")
PLACES = {
    "handbook": "**/debian-handbook/html/en-US/*.html",
    "gnome": "**/usr/share/help/C/gnome-help/*.page",
}


def passages(folder: Path, manual: str, size: int) -> list[tuple[str, str]]:
    """(page, passage) of about `size` characters, whole words, of a manual's paragraphs."""
    found = []
    for path in sorted(folder.glob(PLACES[manual])):
        written = path.read_text(encoding="utf-8", errors="replace")
        flat = " ".join(
            " ".join(html.unescape(TAG.sub("", p)).split()) for p in PARAGRAPH.findall(written)
        )
        words, held = flat.split(), ""
        for word in words:
            held = f"{held} {word}".strip()
            if len(held) >= size:
                found.append((f"{manual}/{path.name}", held))
                held = ""
    return found


def classifier(folder: Path, split: Path, size: int) -> None:
    """Train on the handbook against the GNOME manual, print the report, write the division."""
    from groundup.corpus.quality.classifier import FeaturesConfig
    from groundup.corpus.quality.training import (
        ClassifierTrainingConfig,
        LabelledText,
        _split_of_group,
        _train_classifier,
    )

    texts = [
        LabelledText(text, name == "handbook", page)
        for name in ("handbook", "gnome")
        for page, text in passages(folder, name, size)
    ]
    default = ClassifierTrainingConfig()
    rows = [[_split_of_group(one.group, default), one.text, one.is_positive] for one in texts]
    split.write_text(json.dumps(rows), encoding="utf-8")
    for l2, characters in ((1e-4, (4,)), (1e-5, (4,)), (1e-6, (4,)), (1e-5, ()), (1e-5, (3, 4, 5))):
        config = ClassifierTrainingConfig(
            l2=l2, features=FeaturesConfig(character_orders=characters)
        )
        begun = time.process_time()
        trained, report = _train_classifier(texts, config)
        spent = time.process_time() - begun
        begun = time.process_time()
        trained.predict_texts([one.text for one in texts])
        rate = len(texts) / (time.process_time() - begun)
        print(f"l2={l2:g} characters={characters}: AUC {report['auc']}, calibration error "
              f"{report['calibration_error']} (before {report['uncalibrated_error']}), "
              f"trained in {spent:.1f} s, scores {rate:,.0f} texts/s", flush=True)  # fmt: skip
        if config == default:
            print(report["texts"], report["positives"], report["groups"])
            for row in report["thresholds"]:
                print("   ", row)


def oracle(split: Path) -> None:
    """The same passages by scikit-learn."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline, make_union

    rows = json.loads(split.read_text(encoding="utf-8"))
    train = [(text, label) for part, text, label in rows if part == "train"]
    test = [(text, label) for part, text, label in rows if part == "test"]

    def hashed(analyzer: str, orders: tuple[int, int]) -> HashingVectorizer:
        return HashingVectorizer(n_features=2**18, analyzer=analyzer, ngram_range=orders,
                                 alternate_sign=False)  # fmt: skip

    both = make_union(hashed("word", (1, 2)), hashed("char", (4, 4)))
    shapes = {"words": hashed("word", (1, 2)), "words and characters": both}
    for name, vectors in shapes.items():
        for c in (1.0, 10.0, 100.0):
            model = make_pipeline(vectors, LogisticRegression(C=c, class_weight="balanced",
                                                              max_iter=300))  # fmt: skip
            begun = time.process_time()
            model.fit(*zip(*train, strict=True))
            spent = time.process_time() - begun
            begun = time.process_time()
            scores = model.predict_proba([text for text, _ in test])[:, 1]
            rate = len(test) / (time.process_time() - begun)
            area = roc_auc_score([label for _, label in test], scores)
            print(
                f"scikit-learn, {name}, C={c}: AUC {area:.5f}, {spent:.1f} s, {rate:,.0f} texts/s"
            )


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("classifier", "oracle"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--split", type=Path, default=Path("split.json"))
    parser.add_argument("--size", type=int, default=120)
    options = parser.parse_args()
    if options.what == "classifier":
        classifier(options.folder, options.split, options.size)
    else:
        oracle(options.split)


if __name__ == "__main__":
    main()
