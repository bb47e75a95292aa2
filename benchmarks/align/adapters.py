"""Do adapters learn what all weights learn, and does rehearsal keep what the base knew?

    python -m benchmarks.align.adapters FOLDER [--tiny runs/tiny] [--seeds 0 1 2]
    python -m benchmarks.align.adapters FOLDER --base models/house-14m

FOLDER is that of benchmarks.align.people, whose texts and parts these are; `tiny` is what `groundup
run tiny` made. Its chat model, or another base, is tuned on 1,500 texts for three epochs: all
weights, LoRA, a prefix and a bottleneck, each at the best of its rates by texts of the other eighth
(seed 100). Measured are nats a token of 600 texts that nothing was trained or chosen on; what the
base forgets is measured of the demo's alone.

Fixed before the measured runs, over seeds (of new weights and of the order):
    lora        loss at most 1.02 times that of all weights, with less than 5 % of the weights; of
                the linear layers, and of these and the input embeddings
    prefix, bottleneck    a gain on the frozen model whose interval is above 0
    forgetting  all weights with 500 passages of the base's text among the texts: bits per byte of
                its held-out text at most 1.03 times what they were

Results: benchmarks/results/align_learning.json.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.align.learning import nats
from benchmarks.align.people import ASKED, CHOICE, TEST, Rated, figures, kept, read_rated
from benchmarks.table import keep_part
from groundup.adapt import AdapterConfig, BottleneckConfig, LoraConfig, PrefixConfig
from groundup.align import ChatExample, FinetuneConfig, finetune
from groundup.align.adapters import adamw
from groundup.core import Artifact, Message, device
from groundup.corpus import read_split
from groundup.evaluate import EvaluateConfig, evaluate, read_report
from groundup.measure import ratio_of_sums
from groundup.model import load
from groundup.train import OptimConfig

ROOT = Path(__file__).resolve().parents[2]
SAID, CHOSEN_ON, TESTED, REHEARSED, PASSAGE = 1_500, 300, 600, 500, 400
GRID_SEED = 100
RATES = {
    "all": (1e-3, 3e-3, 1e-2), "lora": (6e-3, 2e-2, 6e-2), "lora, embeddings": (6e-3, 2e-2, 6e-2),
    "prefix": (6e-3, 2e-2, 6e-2), "bottleneck": (6e-3, 2e-2, 6e-2),
}  # fmt: skip
ADAPTERS: dict[str, AdapterConfig] = {
    "lora": LoraConfig(rank=8),
    "lora, embeddings": LoraConfig(rank=8, targets=("all-linear", "embed_tokens")),
    "prefix": PrefixConfig(),
    "bottleneck": BottleneckConfig(),
}


class Place(NamedTuple):
    """Where the demo is, and where results go."""

    tiny: Path
    out: Path
    seeds: list[int]

    def open(self, name: str, kind: Any) -> Artifact:
        """One of the demo's artifacts."""
        return Artifact.open(self.tiny / name, kind)


def main() -> None:
    """Tune and measure, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", type=Path, default=ROOT / "runs" / "tiny")
    parser.add_argument("--base", type=Path, help="another base than the demo's chat model")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "align_adapters")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="*", choices=RATES, default=list(RATES))
    given = parser.parse_args()
    device.set_num_threads()
    place = Place(given.tiny, given.out / given.base.name if given.base else given.out, given.seeds)
    base = Artifact.open(given.base, "model") if given.base else place.open("chat", "model")
    found = measured(read_rated(given.folder), place, base, given.kinds)
    if not given.base:
        found |= forgotten(place, base, found["best"]["all"])
    print(json.dumps(found, indent=1))
    name = f"adapters of {given.base.name}" if given.base else "adapters"
    keep_part("align_learning", name, found)


def measured(
    texts: list[Rated], place: Place, base: Artifact, kinds: list[str]
) -> dict[str, Any]:  # fmt: skip
    """All weights beside adapters."""
    splits = {
        "train": said_by(texts, lambda part: part not in (TEST, CHOICE), SAID),
        "validation": said_by(texts, lambda part: part == CHOICE, CHOSEN_ON),
        "test": said_by(texts, lambda part: part == TEST, TESTED),
    }
    own = kept(place.out / "said", "examples", splits)
    grid = {name: {rate: tuned(place, base, own, name, rate, GRID_SEED).numbers["validation loss"]
                   for rate in RATES[name]} for name in kinds}  # fmt: skip
    best = {name: min(losses, key=lambda each: losses[each]) for name, losses in grid.items()}
    tests = map(ChatExample.from_json, splits["test"])
    asked = [(each.messages[:1], each.messages[1].content) for each in tests]
    (frozen, tokens), made = nats(base, asked), defaultdict[str, list[Artifact]](list)
    for seed in place.seeds:
        for name, at in best.items():
            made[name].append(tuned(place, base, own, name, at, seed))
    loss = {name: [nats(each, asked, base)[0] for each in own] for name, own in made.items()}
    mean = {name: np.mean(each, 0) for name, each in loss.items()}
    whole = sum(each.numel() for each in load(base.path).parameters())
    shares = {name: round(own[0].numbers["parameters"] / whole, 4)
              for name, own in made.items() if name != "all"}  # fmt: skip
    gains = {name: ratio_of_sums(frozen - each, tokens) for name, each in mean.items()}
    loras = {name: ratio_of_sums(mean[name], mean["all"]) for name in mean if "lora" in name}
    return {
        "grid": grid, "best": best, "frozen": round(frozen.sum() / tokens.sum(), 4),
        "loss": {name: [round(float(each.sum() / tokens.sum()), 4) for each in own]
                 for name, own in loss.items()},
        "share_of_weights": shares,
        "by_all": {name: figures(each) for name, each in loras.items()},
        "gain": {name: figures(each) for name, each in gains.items()},
        "passed": {name: loras[name].estimate <= 1.02 and shares[name] < 0.05 for name in loras}
        | {name: gains[name].low > 0 for name in mean.keys() & {"prefix", "bottleneck"}},
    }  # fmt: skip


def forgotten(place: Place, chat: Artifact, rate: float) -> dict[str, Any]:
    """Bits per byte of the demo's text before, after tuning, and after tuning with rehearsal."""
    own = Artifact.open(place.out / "said", "examples")
    splits = {name: (own.path / f"{name}.jsonl").read_text("utf-8").splitlines()
              for name in ("train", "validation", "test")}  # fmt: skip
    splits["train"] += passages(place.open("corpus", "corpus"))
    mixed = kept(place.out / "rehearsed", "examples", splits)
    kinds = {name: [tuned(place, chat, each, "all", rate, seed) for seed in place.seeds]
             for name, each in (("all", own), ("rehearsed", mixed))}  # fmt: skip
    kinds["before"] = [chat]
    bits = {name: [bits_per_byte(each, place) for each in made] for name, made in kinds.items()}
    worse = float(np.mean(bits["rehearsed"])) / bits["before"][0]
    return {"bits_per_byte": bits, "rehearsed_by_before": round(worse, 4),
            "does not forget": worse <= 1.03}  # fmt: skip


def said_by(texts: Iterable[Rated], is_part: Callable[[int], bool], count: int) -> list[str]:
    """Conversations of one text each, as lines."""
    own = [each for each in texts if is_part(each.part)]
    drawn = random.Random(0).sample(own, count)
    return [_conversation(each.source, ASKED[each.source], each.text) for each in drawn]


def passages(corpus: Artifact) -> list[str]:
    """Conversations that rehearse the base's own text."""
    documents = list(read_split(corpus, "train"))
    rng, found = random.Random(0), list[str]()
    for document in rng.choices(documents, [len(each.text) for each in documents], k=REHEARSED):
        start = rng.randrange(max(1, len(document.text) - PASSAGE))
        found.append(_conversation("text", "Go on.", document.text[start : start + PASSAGE]))
    return found


def _conversation(group: str, asked: str, said: str) -> str:
    turns = (Message("user", asked), Message("assistant", said))
    return ChatExample("", "said", group, turns).to_json()


def tuned(
    place: Place, chat: Artifact, examples: Artifact, name: str, rate: float, seed: int
) -> Artifact:  # fmt: skip
    """The chat model tuned at some rate, or an adapter of it."""
    optim = adamw(rate)
    if name == "all":
        optim = OptimConfig(learning_rate=rate, muon_learning_rate=7.5 * rate,
                            embedding_learning_rate=50 * rate)  # fmt: skip
    config = FinetuneConfig(
        epochs=3, max_length=256, batch_rows=4, validations=1, optim=optim, seed=seed,
        adapter=ADAPTERS.get(name),
    )  # fmt: skip
    out = place.out / "adapters" / f"{examples.path.name}-{name.replace(', ', '-')}-{rate:g}-{seed}"
    return finetune(config, chat, examples, out)


def bits_per_byte(model: Artifact, place: Place) -> float:
    """Of the base's held-out text."""
    out = place.out / "evaluations" / f"{model.path.parent.name}-{model.path.name}"
    tokens = place.open("tokens", "tokens")
    evaluate(str(model.path), config=EvaluateConfig(split="validation"), tokens=tokens, out=out)
    measures = read_report(Artifact.open(out, "report")).tasks[0].measures
    return next(each.result[0] for each in measures if each.key == "bits_per_byte")


if __name__ == "__main__":
    main()
