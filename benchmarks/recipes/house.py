"""The house model: finish what was trained, and hold it against a compressor and a larger model.

    groundup pretrain --config benchmarks/recipes/house.toml --tokens runs/permissive-tokens-8k \\
        --tokenizer runs/permissive-tokenizer-8k --out runs/house        (hours; resumable)
    python -m benchmarks.recipes.house finish  models/house-14m in 8 bits, house-14m.json, the curve
    python -m benchmarks.recipes.house compare  held-out packages: bits per byte, results/house.json
                                          --documents N of them, drawn with a seed
    python -m benchmarks.recipes.house_card       models/house-14m.md

Held-out packages are those of permissive_held_out.toml; nothing was trained or chosen on them. xz
gets each package's text whole, at its highest setting. Gemma 3 270M is larger by 20 times and was
trained by others on text that may contain these pages: given with --gemma DIR (`groundup import`
of its GGUF file), it is asked about a sample of the documents, drawn with a seed.
"""

import argparse
import json
import lzma
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.table import machine_class
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, device, record, write_json, write_text
from groundup.core.page import HtmlPage, Series, line_chart
from groundup.corpus import read_split
from groundup.evaluate import DocumentScore, bits_per_byte, score_compressor, score_documents
from groundup.model import load
from groundup.tokenizer import document_special_ids, load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
RUNS, MODELS = ROOT / "runs", ROOT / "models"
RESULTS = ROOT / "benchmarks" / "results" / "house.json"
SAMPLE, SEED = 60, 0
"""Documents that the larger model is asked about."""


class Text(NamedTuple):
    """A held-out document."""

    package: str
    name: str
    text: str


def held_out(folder: Path) -> list[Text]:
    """Every document of the held-out packages."""
    corpus = Artifact.open(folder, "corpus")
    return [
        Text(document.path.partition("/")[0], document.path, document.text)
        for document in read_split(corpus, "test")
    ]


def scored(folder: Path, texts: list[Text]) -> list[DocumentScore]:
    """A model's bits for each document, in windows of 2,048 that score each token once."""
    model, tokenizer = load(folder), load_tokenizer(folder)
    frame = document_special_ids(tokenizer)
    start = frame.before[0] if frame.before else frame.after[0]
    rows = (
        (text.name, [*tokenizer.encode(text.text), *frame.after], len(text.text.encode()))
        for text in texts
    )
    return score_documents(model, rows, bos=start)


def compressed(texts: list[Text]) -> dict[str, float]:
    """Bits per byte of each package's whole text under xz at its highest setting."""
    whole = defaultdict(list)
    for text in texts:
        whole[text.package].append(text.text)
    found = {}
    for package, parts in whole.items():
        data = "\n".join(parts).encode()
        found[package] = 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(data)
    data = "\n".join(text.text for text in texts).encode()
    return found | {"all": 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(data)}


def by_package(texts: list[Text], scores: list[DocumentScore]) -> dict[str, float]:
    """Bits per byte by package and of all."""
    bits, size = defaultdict(float), defaultdict(int)
    for text, score in zip(texts, scores, strict=True):
        for name in (text.package, "all"):
            bits[name] += score.nats / math.log(2)
            size[name] += score.bytes
    return {name: bits[name] / size[name] for name in bits}


def compare(arguments: argparse.Namespace) -> None:
    """Score and write results/house.json."""
    texts = held_out(arguments.held_out)
    found: dict[str, Any] = {"machine": machine_class(), "of": len(texts), "rows": []}
    if arguments.documents:
        texts = random.Random(SEED).sample(texts, min(arguments.documents, len(texts)))
    found["documents"] = len(texts)
    found["bytes"] = sum(len(text.text.encode()) for text in texts)
    found["xz -9e"] = compressed(texts)
    dtype = device.compute_dtype()
    computing = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    with torch.inference_mode(), computing:
        for name, folder in (("base", arguments.run), ("8 bits", arguments.model)):
            if not folder.exists():  # a base that was trained elsewhere: what it scored there
                found |= known(name, found["bytes"])
                continue
            scores = scored(folder, texts)
            found[name] = by_package(texts, scores)
            found[f"{name}, all"] = str(bits_per_byte(scores))
        if larger := arguments.gemma:
            sample = random.Random(SEED).sample(texts, SAMPLE)
            found["sample"] = {
                "documents": SAMPLE,
                "xz -9e, each document alone": compressed_alone(sample),
                "8 bits": str(bits_per_byte(scored(arguments.model, sample))),
                "gemma 3 270m": str(bits_per_byte(scored(larger, sample))),
            }
    write_json(RESULTS, found)
    print(json.dumps(found, indent=1))


def known(name: str, size: int) -> dict[str, Any]:
    """What a side scored before on texts of the same size; nothing if they were others."""
    before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"bytes": 0}
    same = before["bytes"] == size
    return {key: before[key] for key in (name, f"{name}, all") if same and key in before}


def compressed_alone(texts: list[Text]) -> str:
    """What xz needs for documents that it sees one at a time."""
    return str(bits_per_byte(score_compressor((text.name, text.text) for text in texts)))


def finish(arguments: argparse.Namespace) -> None:
    """The 8-bit copy, its facts and its curve."""
    base = Artifact.open(arguments.run, "model")
    small = quantize(QuantizeConfig(others="bfloat16", head="8bit"), base, arguments.model)
    rows = record.read_metrics(base.path / "log" / "metrics.jsonl")
    facts = {
        "machine": machine_class(), "date": base.numbers["began"][:10], "bytes": small.bytes,
        "seconds": base.seconds, "config": base.config, "numbers": base.numbers,
        "lineage": lineage(small), "curve": thinned(rows),
    }  # fmt: skip
    write_json(MODELS / "house-14m.json", facts)
    write_text(RUNS / "house-curve.html", picture(rows).render())
    print(f"{small.path}: {small.bytes / 1e6:.1f} MB; {RUNS / 'house-curve.html'}")


def lineage(last: Artifact, name: str = "house-14m") -> list[dict[str, Any]]:
    """An artifact and what it came from, each once, the nearest first.

    A corpus' settings are its pipeline's, a file of this repository, and are left out.
    """
    told = {"name": name, "kind": last.kind, "stage": last.stage, "id": last.id,
            "parents": [parent.name for parent in last.parents]}  # fmt: skip
    if last.kind != "corpus":
        told["config"] = last.config
    found = {last.id: told}
    for parent in last.parents:
        for each in lineage(Artifact.open(last.path / parent.path), parent.name):
            found.setdefault(each["id"], each)
    return list(found.values())


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Held-out losses, and the mean training loss between them."""
    found, losses = [], []
    for row in rows:
        if "loss" in row:
            losses.append(row["loss"])
        elif "validation" in row and losses:
            told = {"step": row["step"], "training": round(sum(losses) / len(losses), 4)}
            found.append(told | {k: v for k, v in row.items() if k.startswith("validation")})
            losses = []
    return found


def picture(rows: list[dict[str, Any]]) -> HtmlPage:
    """The curve as a page."""
    points = thinned(rows)
    steps = [point["step"] for point in points]
    lines = [
        Series(name, steps, [point[key] for point in points])
        for name, key in (("training", "training"), ("held out", "validation"))
    ]
    page = HtmlPage("The house model", "Loss in nats a token as it was trained.")
    page.add(line_chart("Loss", lines, x_label="step", y_label="nats a token"))
    return page


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["finish", "compare"])
    parser.add_argument("--run", type=Path, default=RUNS / "house")
    parser.add_argument("--model", type=Path, default=MODELS / "house-14m")
    parser.add_argument("--held-out", type=Path, default=RUNS / "held-out-corpus")
    parser.add_argument("--documents", type=int, help="score a sample of so many; all if not given")
    parser.add_argument("--gemma", type=Path, help="Gemma 3 270M, imported")
    arguments = parser.parse_args()
    (finish if arguments.what == "finish" else compare)(arguments)


if __name__ == "__main__":
    main()
