"""Do adapters learn what all weights learn, and does rehearsal keep what the base knew?

    python -m benchmarks.align.adapters FOLDER [--tiny runs/tiny] [--seeds 0 1 2]

FOLDER is that of benchmarks.align.people, whose texts and parts these are; `tiny` is what `groundup
run tiny` made. Its chat model is tuned on 1,500 texts for three epochs: all weights, LoRA, a prefix
and a bottleneck, each at the best of its rates by texts of the other eighth (seed 100). Measured
are nats a token of 600 texts that nothing was trained or chosen on.

Fixed before the measured runs, over seeds (of new weights and of the order):
    lora        loss at most 1.02 times that of all weights, with less than 5 % of the weights
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
from groundup.train import OptimConfig

ROOT = Path(__file__).resolve().parents[2]
SAID, CHOSEN_ON, TESTED, REHEARSED, PASSAGE = 1_500, 300, 600, 500, 400
GRID_SEED = 100
RATES = {
    "all": (1e-3, 3e-3, 1e-2), "lora": (2e-3, 6e-3, 2e-2), "prefix": (6e-3, 2e-2, 6e-2),
    "bottleneck": (2e-3, 6e-3, 2e-2),
}  # fmt: skip
ADAPTERS: dict[str, AdapterConfig] = {
    "lora": LoraConfig(rank=8),
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
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "align_adapters")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    given = parser.parse_args()
    device.set_num_threads()
    found = measured(read_rated(given.folder), Place(given.tiny, given.out, given.seeds))
    print(json.dumps(found, indent=1))
    keep_part("align_learning", "adapters", found)


def measured(texts: list[Rated], place: Place) -> dict[str, Any]:
    """All weights beside three kinds of adapters, and what is forgotten."""
    chat = place.open("chat", "model")
    splits = {
        "train": said_by(texts, lambda part: part not in (TEST, CHOICE), SAID),
        "validation": said_by(texts, lambda part: part == CHOICE, CHOSEN_ON),
        "test": said_by(texts, lambda part: part == TEST, TESTED),
    }
    own = kept(place.out / "said", "examples", splits)
    mixed = splits | {"train": [*splits["train"], *passages(place.open("corpus", "corpus"))]}
    grid = {name: {rate: tuned(place, chat, own, name, rate, GRID_SEED).numbers["validation loss"]
                   for rate in rates} for name, rates in RATES.items()}  # fmt: skip
    best = {name: min(losses, key=lambda each: losses[each]) for name, losses in grid.items()}
    tests = map(ChatExample.from_json, splits["test"])
    asked = [(each.messages[:1], each.messages[1].content) for each in tests]
    (frozen, tokens), made = nats(chat, asked), defaultdict[str, list[Artifact]](list)
    for seed in place.seeds:
        for name, at in best.items():
            made[name].append(tuned(place, chat, own, name, at, seed))
    loss = {name: [nats(each, asked, chat)[0] for each in own] for name, own in made.items()}
    mean = {name: np.mean(each, 0) for name, each in loss.items()}
    rehearsed = kept(place.out / "rehearsed", "examples", mixed)
    kinds = {"before": [chat], "all": made["all"], "rehearsed": [
        tuned(place, chat, rehearsed, "all", best["all"], seed) for seed in place.seeds
    ]}  # fmt: skip
    bits = {name: [bits_per_byte(each, place) for each in own] for name, own in kinds.items()}
    lora = ratio_of_sums(mean["lora"], mean["all"])
    shares = {name: round(own[0].numbers["parameters"] / chat.numbers["parameters"], 4)
              for name, own in made.items()}  # fmt: skip
    gains = {name: ratio_of_sums(frozen - each, tokens) for name, each in mean.items()}
    worse = float(np.mean(bits["rehearsed"])) / bits["before"][0]
    return {
        "grid": grid, "best": best, "bits_per_byte": bits, "rehearsed_by_before": round(worse, 4),
        "frozen": round(frozen.sum() / tokens.sum(), 4),
        "loss": {name: [round(float(each.sum() / tokens.sum()), 4) for each in own]
                 for name, own in loss.items()},
        "share_of_weights": shares,
        "lora_by_all": figures(lora), "gain": {n: figures(each) for n, each in gains.items()},
        "passed": {
            "lora": lora.estimate <= 1.02 and shares["lora"] < 0.05,
            "prefix": gains["prefix"].low > 0, "bottleneck": gains["bottleneck"].low > 0,
            "forgetting": worse <= 1.03,
        },
    }  # fmt: skip


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
    out = place.out / "adapters" / f"{examples.path.name}-{name}-{rate:g}-{seed}"
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
