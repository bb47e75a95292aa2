"""The weights of `books.ocr`: how much each sign of a scanner's work says about a page.

    python -m benchmarks.documents.book_ocr_weights --root ROOT

A logistic model without negative weights, fitted on the manuals of books.py that are
named below, clean and with the noise of ocr_noise.py (seeds from 7,000, rates .01 to
.1); what it finds is set in groundup/documents/books/ocr.py, the first weight being 1. Prints the
AUC at rate .02 of each manual by a model fitted without it. Needs pdftotext.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.documents.books import MANUALS, auc, book, pdf_text
from benchmarks.documents.ocr_noise import noisy
from groundup.documents.books.ocr import CLEAN_WORDS, WEIGHTS, BookTokens
from groundup.documents.books.words import count_vocabulary

NAMES = (
    "R-intro",
    "R-exts",
    "R-lang",
    "R-admin",
    "R-ints",
    "R-data",
    "R-FAQ",
    "groff",
    "gri",
    "amc",
    "docbook-xsl",
)
SIGNS = tuple(WEIGHTS)
SHARES = {0.0: 1.0, 0.01: 0.25, 0.02: 0.5, 0.05: 0.15, 0.1: 0.1}
"""How much the pages of a rate weigh together."""
CAP = 8.0
"""Signs in a hundred words beyond which more say no more."""
Tables = dict[str, dict[float, np.ndarray]]


class Model(NamedTuple):
    """A logistic model of pages."""

    weights: np.ndarray
    bias: float


def main() -> None:
    """Count, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    root = parser.parse_args().root
    tables = {name: counted(book(pdf_text(root / MANUALS[name]))) for name in NAMES}
    aucs = {}
    for name in NAMES:
        model = fitted([tables[other] for other in NAMES if other != name])
        aucs[name] = auc(tables[name][0.02] @ model.weights, tables[name][0.0] @ model.weights)
    print("AUC at .02, each left out of the fit:", json.dumps(aucs))
    print("mean", round(float(np.mean(list(aucs.values()))), 4))
    model = fitted(list(tables.values()))
    weights = model.weights / model.weights[0]
    print(json.dumps(dict(zip(SIGNS, weights.round(2).tolist(), strict=True)), ensure_ascii=False))
    clean = np.vstack([table[0.0] for table in tables.values()]) @ weights / 100
    noise = np.vstack([table[0.02] for table in tables.values()]) @ weights / 100
    for limit in (0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01):
        print(limit, "clean pages above", round(float((clean >= limit).mean()), 4),
              "at .02", round(float((noise >= limit).mean()), 4))  # fmt: skip


def counted(pages: list[str]) -> dict[float, np.ndarray]:
    """Signs in a hundred words, page by page, at each rate of noise."""
    found = {}
    for rate in SHARES:
        spoilt = [
            noisy(page, rate, 7000 + seed).text.replace("\f", " ") if rate else page
            for seed, page in enumerate(pages)
        ]
        own = count_vocabulary("\f".join(spoilt)).words
        rows = [
            [100 * one.counts[sign] / (one.words + CLEAN_WORDS) for sign in SIGNS]
            for one in BookTokens(own, spoilt).signs_by_page()
        ]
        found[rate] = np.minimum(np.array(rows), CAP)
    return found


def fitted(tables: list[dict[float, np.ndarray]], steps: int = 2000) -> Model:
    """The model by Adam, weights kept from falling below nothing."""
    rows = np.vstack([table[rate] for table in tables for rate in SHARES])
    shares = np.concatenate(
        [np.full(len(t[rate]), SHARES[rate]) for t in tables for rate in SHARES]
    )
    noise = np.concatenate([np.full(len(t[rate]), rate > 0.0) for t in tables for rate in SHARES])
    shares /= shares.sum()
    values, mean, square = np.zeros(len(SIGNS) + 1), 0.0, 0.0
    padded = np.hstack([rows, np.ones((len(rows), 1))])
    for step in range(1, steps + 1):
        wrong = shares * (1 / (1 + np.exp(-padded @ values)) - noise)
        slope = padded.T @ wrong + 1e-3 * np.append(values[:-1], 0.0)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        values -= 0.05 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        values[:-1] = np.maximum(values[:-1], 0.0)
    return Model(values[:-1], float(values[-1]))


if __name__ == "__main__":
    main()
