"""Does cleaning matter? One model, equal tokens: raw, cleaned, cleaned and deduplicated text.

    python -m benchmarks.corpus.matters PAGES [--out runs/matters] [--tokens 1000000] [--seeds 3]

Text: a run of neighbouring pages of each of 38 Debian packages (web_pages.py), neighbours because
that is where repetition is. Held out: the 120 pages whose main text was marked by hand before any
rule was written; they, and every page that has a fifth of a marked page's word 13-grams, are in no
arm. Four arms read the same pages by four ways, the same number of tokens each:

    raw             all visible text of the pages (`documents.read`)
    cleaned         main text, English, lines of the site, lines of chrome, Gopher's rules
    deduplicated    the same, then exact copies, near-duplicates and repeated substrings go
    proxies         the same text, five kinds of manuals in the shares that 24 proxies found best

The first three read each kind of manual in its natural share. The proxies are small models on 24
random mixtures, judged on one half of the marked pages; the arms are compared on the other half
where the mixture is asked about, and on all of them where cleaning is. What counts is the
difference in bits per byte, with two intervals of 95 %: over documents (bootstrap, seeds averaged)
and over seeds (Student). The rule, which stands before the run: an arm is better if both lie below
zero, worse if both lie above, and otherwise it is not known. Nothing is asked to come out one way.
Results: benchmarks/results/corpus_matters.json, docs/reference/corpus.md.
"""

import argparse
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.corpus.regmix import weights_from_losses
from benchmarks.documents.web_extraction import MARKED
from benchmarks.documents.web_pages import pages, visible_lines
from groundup.core import Artifact, device, write_json
from groundup.corpus import MixtureConfig, mixture_weights, prepare
from groundup.evaluate import score_documents
from groundup.measure import bootstrap
from groundup.model import load
from groundup.tokenizer import (
    MixConfig,
    TokenizerConfig,
    TokensConfig,
    load_tokenizer,
    mix_tokens,
    train_tokenizer,
)
from groundup.tokenizer import encode_corpus as make_tokens
from groundup.train import PretrainConfig, pretrain

ROOT = Path(__file__).resolve().parents[2]

RESULT = ROOT / "benchmarks/results/corpus_matters.json"
KINDS = {
    "reference": "ant-doc fp-docs-3.2.2 libglib2.0-doc libgtk-4-doc openjdk-21-doc "
    "qt6-base-doc-html rust-doc scala-doc",
    "languages": "erlang-doc nodejs-doc octave-doc php-doc python-django-doc "
    "python-numpy-doc python3.13-doc r-doc-html",
    "systems": "apache2-doc bash-doc cmake-doc exim4-doc-html git-doc postfix-doc "
    "postgresql-doc-17 sqlite3-doc tomcat10-docs zsh-doc",
    "desktop": "gimp-help-en gnuplot-doc libreoffice-help-en-us lilypond-doc-html",
    "prose": "anarchism debian-faq debian-handbook debian-policy debian-reference-en "
    "developers-reference installation-guide-amd64 jargon",
}
PAGES_OF_A_PACKAGE, LARGEST_BYTES = 160, 300_000
GRAM, LEAKED = 13, 0.2
VOCABULARY = TokenizerConfig(vocab_size=10_240)
DEPTH, PROXY_DEPTH, PROXIES = 6, 2, 24
"""13.6 million parameters; 24 small models of a third of the tokens."""
LENGTH = 256
CLEANING = """
steps = [
    { use = "web.main_text" },
    { use = "language.identify", settings = { keep = ["en"], keep_undetermined = true } },
    { use = "web.site_lines" },
    { use = "web.lines" },
    { use = "quality.gopher", settings = { fewest_words = 20, longest_mean = 20.0, \
most_symbols = 0.3, fewest_alphabetic = 0.4, fewest_stop_words = 0 } },
"""
DEDUPLICATION = """
    { use = "dedup.exact" },
    { use = "dedup.minhash" },
    { use = "dedup.substrings" },
"""
STEPS = {
    "raw": 'steps = [{ use = "documents.read" }]',
    "cleaned": CLEANING + "]",
    "deduplicated": CLEANING + DEDUPLICATION + "]",
}
SOURCE = '{ name = "%s", path = "../../pages/%s" }'
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Quantile .975 of Student's distribution by the number of seeds."""


class HeldOut(NamedTuple):
    """A page's main text as a person marked it."""

    name: str
    half: str
    text: str


class Text(NamedTuple):
    """What all runs share."""

    tokenizer: Artifact
    held_out: list[HeldOut]


class Proxies(NamedTuple):
    """A mixture that small models found."""

    tokens: Artifact
    told: dict[str, Any]


def held_out(directory: Path) -> list[HeldOut]:
    """The marked pages, main text alone."""
    found = []
    for line in gzip.open(MARKED, "rt"):
        row = json.loads(line)
        page = (directory / row["package"] / row["path"]).read_bytes()
        lines = visible_lines(page.decode("utf-8", "replace"))
        text = "\n".join(line for a, b in row["main"] for line in lines[a : b + 1])
        found.append(HeldOut(f"{row['package']}/{row['path']}", row["half"], text + "\n"))
    return found


def grams(text: str) -> set[int]:
    """Hashes of the word 13-grams, within this process."""
    words = text.casefold().split()
    return {hash(tuple(words[i : i + GRAM])) for i in range(len(words) - GRAM + 1)}


def choose(directory: Path, into: Path, marked: list[HeldOut]) -> dict[str, int]:
    """Copy neighbouring pages of every package, without what would show what is held out."""
    hidden, owners = {one.name for one in marked}, dict[int, list[int]]()
    sizes = []
    for number, one in enumerate(marked):
        own = grams(one.text)
        sizes.append(max(1, len(own)))
        for gram in own:
            owners.setdefault(gram, []).append(number)
    counts: Counter[str] = Counter()
    for kind, packages in KINDS.items():
        for package in packages.split():
            every = pages(directory, package)
            start = random.Random(package).randrange(max(1, len(every) - PAGES_OF_A_PACKAGE))
            for path in every[start : start + PAGES_OF_A_PACKAGE]:
                name, data = str(path.relative_to(directory)), path.read_bytes()
                if name in hidden or not 0 < len(data) <= LARGEST_BYTES:
                    continue
                text = "\n".join(visible_lines(data.decode("utf-8", "replace")))
                shared = Counter(n for gram in grams(text) for n in owners.get(gram, ()))
                if any(count >= LEAKED * sizes[number] for number, count in shared.items()):
                    counts["left out: shows a held-out page"] += 1
                    continue
                place = into / kind / package / f"{counts[kind]:05d}.html"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
                counts[kind] += 1
    return dict(counts)


def prepared(folder: Path, way: str, kinds: Iterable[str]) -> Artifact:
    """A corpus of some kinds of manuals by one way."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = ", ".join(SOURCE % (kind, kind) for kind in kinds)
    split = "split = { validation_share = 0.02, test_share = 0.0 }"
    (folder / "pipeline.toml").write_text(f"{split}\nsources = [{sources}]\n{STEPS[way]}\n")
    corpus = prepare(folder / "pipeline.toml", folder / "corpus")
    assert isinstance(corpus, Artifact)
    return corpus


def encoded(corpus: Artifact, text: Text) -> Artifact:
    """The tokens of a corpus."""
    config = TokensConfig(splits=("train", "validation"))
    return make_tokens(config, corpus, text.tokenizer, corpus.path.parent / "tokens")


def trained(out: Path, tokens: Artifact, text: Text, count: int, seed: int, depth: int) -> Artifact:
    """A model of so many tokens."""
    config = PretrainConfig(depth=depth, tokens=count, length=LENGTH, context_length=LENGTH,
                            long_share=0.0, seed=seed, validations=1)  # fmt: skip
    return pretrain(config, tokens, text.tokenizer, out)


def nats(base: Artifact, text: Text, half: str = "") -> np.ndarray:
    """What a model needs for each held-out page, of one half or of all."""
    words = load_tokenizer(text.tokenizer.path)
    end = words.specials["<|endoftext|>"]
    documents = [
        (one.name, [*words.encode(one.text), end], len(one.text.encode()))
        for one in text.held_out
        if half in ("", one.half)
    ]
    scores = score_documents(
        load(base.path, dtype=torch.float32), documents, bos=end, window=LENGTH
    )
    return np.array([one.nats for one in scores])


def sizes(text: Text, half: str = "") -> np.ndarray:
    """Bytes of each held-out page."""
    return np.array([len(one.text.encode()) for one in text.held_out if half in ("", one.half)])


def by_proxies(out: Path, text: Text, tokens: int) -> Proxies:
    """Shares that small models found best for the tuning half, and how far to believe them."""
    sources = {
        kind: encoded(prepared(out / "corpora" / kind, "deduplicated", [kind]), text)
        for kind in KINDS
    }
    sizes_of = {name: one.numbers["train"]["tokens"] for name, one in sources.items()}
    natural = mixture_weights(MixtureConfig(), sizes_of, tokens)
    shares = np.array(list(natural.values()))
    drawn = np.random.default_rng(0).dirichlet(10 * shares + 0.5, PROXIES)
    rows, losses = [], []
    for number, row in enumerate(drawn):
        place = out / "proxies" / str(number)
        given = dict(zip(sources, np.maximum(row, 1e-6).tolist(), strict=True))
        config = MixConfig(tokens=tokens, weights=given)
        blend = mix_tokens(config, sources, text.tokenizer, place / "tokens")
        base = trained(place / "base", blend, text, tokens // 3, number, PROXY_DEPTH)
        read = json.loads(blend.file("mixture.json").read_text())["weights"]
        rows.append([read[name] for name in sources])
        losses.append(bits(nats(base, text, "tuning"), sizes(text, "tuning")))
        print(f"proxy {number:2} {losses[-1]:.4f} {np.round(rows[-1], 3).tolist()}", flush=True)
    found = weights_from_losses(np.array(rows), losses, shares.tolist())
    shares_found = dict(zip(sources, found.weights.tolist(), strict=True))
    blend = mix_tokens(MixConfig(tokens=tokens, weights=shares_found), sources, text.tokenizer,
                out / "found")  # fmt: skip
    told = {"natural": natural, "found": shares_found, "predicted": found.predicted,
            "rank_correlation": found.rank_correlation, "losses": losses}  # fmt: skip
    return Proxies(blend, told)


def bits(nats_each: np.ndarray, bytes_each: np.ndarray) -> float:
    """Bits per byte of all together."""
    return float(nats_each.sum() / np.log(2) / bytes_each.sum())


def difference(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """First minus second, (seeds, documents) nats each, in bits per byte, and the verdict."""
    apart = (first - second) / np.log(2)
    documents = bootstrap((apart.mean(0)).tolist(), weights=weights.tolist())
    each = apart.sum(1) / weights.sum()
    spread = float(each.std(ddof=1) / np.sqrt(len(each)) * STUDENT[len(each)])
    lows, highs = (documents.low, each.mean() - spread), (documents.high, each.mean() + spread)
    return {
        "difference": documents.estimate,
        "over_documents": [documents.low, documents.high],
        "over_seeds": [float(lows[1]), float(highs[1])],
        "each_seed": each.tolist(),
        "verdict": "better" if max(highs) < 0 else "worse" if min(lows) > 0 else "not known",
    }


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Everything in order; what is complete is kept."""
    out, marked = given.out, held_out(given.directory)
    if not (out / "chosen.json").exists():
        write_json(out / "chosen.json", choose(given.directory, out / "pages", marked))
    made = {way: prepared(out / "corpora" / way, way, KINDS) for way in STEPS}
    text = Text(train_tokenizer(VOCABULARY, made["cleaned"], out / "tokenizer"), marked)
    arms = {way: encoded(corpus, text) for way, corpus in made.items()}
    amounts = {way: tokens.numbers["train"] for way, tokens in arms.items()}
    proxies = by_proxies(out, text, given.tokens)
    arms["proxies"] = proxies.tokens
    needs = {way: np.zeros((given.seeds, len(marked))) for way in arms}
    for seed in range(given.seeds):
        for way, tokens in arms.items():
            base = trained(out / "arms" / f"{way}-{seed}", tokens, text, given.tokens, seed, DEPTH)
            needs[way][seed] = nats(base, text)
            print(f"{way:14} {seed} {bits(needs[way][seed], sizes(text)):.4f}", flush=True)
    return {"rows": [], "tokens": given.tokens, "seeds": given.seeds,
            "pages": json.loads((out / "chosen.json").read_text()), "text": amounts,
            "proxies": proxies.told} | judged(needs, text)  # fmt: skip


def judged(needs: dict[str, np.ndarray], text: Text) -> dict[str, Any]:
    """Bits per byte by arm and seed, and the differences that were asked about."""
    weights = sizes(text)
    final = np.array([one.half == "final" for one in text.held_out])
    return {
        "bits_per_byte": {way: [bits(row, weights) for row in rows] for way, rows in needs.items()},
        "cleaned - raw": difference(needs["cleaned"], needs["raw"], weights),
        "deduplicated - cleaned": difference(needs["deduplicated"], needs["cleaned"], weights),
        "deduplicated - raw": difference(needs["deduplicated"], needs["raw"], weights),
        "proxies - natural": difference(
            needs["proxies"][:, final], needs["deduplicated"][:, final], weights[final]
        ),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="PAGES")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/matters")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3, choices=sorted(STUDENT))
    arguments = parser.parse_args()
    device.set_num_threads()
    write_json(RESULT, run(arguments) | {"date": time.strftime("%Y-%m-%d")})


if __name__ == "__main__":
    main()
