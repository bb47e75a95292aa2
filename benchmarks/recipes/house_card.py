"""The house model's card: what it is, what it was made of and how, what it is worth.

    python -m benchmarks.recipes.house_card    models/house-14m.md

Everything on it is read from models/house-14m.json (see house.py), results/house.json,
results/scaling.json and docs/benchmarks/permissive-licences.md.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus.permissive import HELD_OUT, PACKAGES
from groundup.core import write_text

ROOT = Path(__file__).resolve().parents[2]
FACTS, CARD = ROOT / "models" / "house-14m.json", ROOT / "models" / "house-14m.md"
RESULTS = ROOT / "benchmarks" / "results"
RATES = ("muon_learning_rate", "learning_rate", "embedding_learning_rate")
SIDES = ("xz -9e", "base", "8 bits")


def card(facts: dict[str, Any], worth: dict[str, Any], sweep: dict[str, Any]) -> str:
    """The whole card."""
    parts = (
        head(facts, worth), use(), training(facts), choices(sweep), evaluation(worth),
        data(), lineage(facts), limits(),
    )  # fmt: skip
    return "\n".join(parts)


def head(facts: dict[str, Any], worth: dict[str, Any]) -> str:
    """What it is, in a few lines."""
    config, numbers = facts["config"], facts["numbers"]
    shape = f"{config['depth']} layers, {config['width']} features, 8,192 ids"
    millions = [f"{numbers[name] / 1e6:.1f}M" for name in ("parameters", "tokens")]
    context, ours, xz = config["context_length"], worth["8 bits"]["all"], worth["xz -9e"]["all"]
    rows = {
        "files": f"`models/house-14m`, {facts['bytes'] / 1e6:.1f} MB: projections and output "
        "table in 8 bits (compressed-tensors), input table and norms in bfloat16",
        "licence": "Apache-2.0, as the code; the texts' licences are below",
        "language": "English, and the code in its manuals",
        "made on": f"{facts['machine']}, {facts['seconds'] / 60:.0f} minutes, {facts['date']}",
    }
    return f"""# house-14m

A decoder of {millions[0]} weights ({shape}, context {context:,}), trained from
nothing on {millions[1]} tokens of permissively licensed English software manuals. It is a base
model: it continues text, and follows no instructions. Later models of groundup are made of it. On
manuals that it never saw it needs {ours:.3f} bits a byte, `xz -9e` {xz:.3f}.

| | |
|---|---|
{table(rows.items())}
"""


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows of a table."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def use() -> str:
    """How to use it."""
    return """## Use

```sh
groundup generate models/house-14m --prompt "The function returns"
groundup show models/house-14m
groundup finetune --model models/house-14m --examples runs/tiny/examples --out runs/tuned
```

Tuning and `groundup pretrain --base models/house-14m` begin from the weights that its integers
stand for, and make a model in float32.
"""


def training(facts: dict[str, Any]) -> str:
    """How it was trained, with the curve."""
    config, numbers = facts["config"], facts["numbers"]
    optim, long = config["optim"], config["long_share"]
    rates = [f"{optim[name]:.4g}" for name in RATES]
    warmup, decay = f"{optim['warmup']:.0%}", f"{optim['decay']:.0%}"
    speed, steps = f"{numbers['tokens per second']:,.0f}", f"{numbers['steps']:,}"
    nats, bits = numbers["validation loss"], numbers["validation bits per byte"]
    return f"""## Training

`groundup pretrain --config benchmarks/recipes/house.toml`, resumable:

- {1 - long:.0%} of the tokens in rows of {config["length"]:,}, the last {long:.0%} in rows of
  {config["context_length"]:,}; {config["batch_tokens"]:,} tokens a step, {steps} steps.
- Muon for the blocks' matrices (rate {rates[0]}), AdamW for the rest ({rates[1]}; embedding
  {rates[2]}). Rates rise over {warmup} of the steps, hold, and fall to zero over the last {decay}.
- bfloat16 products over float32 weights; {speed} tokens a second.
- On the corpus' own held-out pages at the end: {nats:.3f} nats a token, {bits:.3f} bits a byte.

Held-out pages are scored in windows of {config["length"]:,} tokens all along; training losses of
the last stretch are of longer rows, and lower for it.

![Loss as it was trained](house-14m.png)
"""


def choices(sweep: dict[str, Any]) -> str:
    """The candidates that the sweep compared."""
    rows = [
        (
            name,
            f"{row['parameters'] / 1e6:.1f}M",
            f"{row['tokens']:,}",
            f"{row['bits_per_byte']:.3f}",
        )
        for name, row in sweep["house"].items()
    ]
    return f"""## Why this shape and these settings

`python -m benchmarks.train.scaling house`: bits a byte on held-out pages of the corpus, one
seed, equal compute within a group.

| candidate | weights | tokens | bits a byte |
|---|---|---|---|
{table(rows)}

`small` is 2x128 with 2,048 tokens a step in rows of 256, falling over 50 % of the steps, but for
what is named; the two of other rows take 8,192 a step and are scored on all held-out pages. 4x384
was the best of one vocabulary; 16,384 ids were as good, and their two tables alone would take 17
of the 20 MB that the model may have. Rates follow the rule through `scaling.py rates`:
{sweep["rates"]["at_256"]:.2f} times the defaults at 256 features, and width to the power
{sweep["rates"]["power"]:.2f} from there.
"""


def evaluation(worth: dict[str, Any]) -> str:
    """Held-out packages."""
    packages = sorted(name for name in worth["xz -9e"] if name != "all")
    drawn, megabytes = f"{worth['documents']:,} of {worth['of']:,}", worth["bytes"] / 1e6
    rows = [
        (name, HELD_OUT.get(name, ""), *(f"{worth[side][name]:.3f}" for side in SIDES))
        for name in [*packages, "all"]
    ]
    return f"""## What it is worth

{drawn} documents, drawn with a seed ({megabytes:.1f} MB, {len(packages)} packages), that
nothing was trained or chosen on, bits a byte. Products are in bfloat16 for both. The model sees
2,048 tokens of one document; xz sees a package's whole text at once, so it also has what repeats
between pages.

| package | licence | `xz -9e` | float32 | **8 bits** |
|---|---|---|---|---|
{table(rows)}

With 95 % intervals over documents: float32 {worth["base, all"]}; 8 bits {worth["8 bits, all"]}.
{sampled(worth.get("sample"))}"""


def sampled(sample: dict[str, Any] | None) -> str:
    """What a larger model needs for a sample of the documents."""
    if not sample:
        return ""
    rows = [(name, value) for name, value in sample.items() if name != "documents"]
    return f"""
A sample of {sample["documents"]} of these documents. Gemma 3 270M (4 bits, an extra) has 20 times
the weights, and these public pages may be among what it was trained on.

| | bits a byte |
|---|---|
{table(rows)}
"""


def data() -> str:
    """Licences of the texts."""
    rows = [
        (licence, count, ", ".join(name for name, its in PACKAGES.items() if its == licence))
        for licence, count in Counter(PACKAGES.values()).most_common()
    ]
    return f"""## Texts and their licences

Documentation of {len(PACKAGES)} Debian 13 packages, of which a person read each copyright file;
versions, hashes of packages and of those files, pages and tokens stand in
[permissive-licences.md](../docs/permissive-licences.md). `benchmarks/corpus/permissive.toml`
cleaned the pages and took out secrets, personal data and duplicates. Pages of the held-out packages
were not used.

| licence | packages | |
|---|---|---|
{table(rows)}
"""


def lineage(facts: dict[str, Any]) -> str:
    """From the texts to the files, with ids."""
    rows = [
        (each["name"], each["stage"], f"`{each['id'][:16]}`", ", ".join(each["parents"]) or "files")
        for each in facts["lineage"]
    ]
    return f"""## Lineage

Whole ids and settings are in [house-14m.json](house-14m.json). An id is a hash of what was written,
the settings and the parents' ids.

| artifact | stage | id | made of |
|---|---|---|---|
{table(rows)}
"""


def limits() -> str:
    """What it cannot do."""
    return """## Limits

A model of this size writes manuals' prose and little that is true: names of functions, numbers and
links are often made up. It knows no language but English, was not aligned, and may repeat what a
manual says of commands or passwords. It is here to be tuned, compressed, retrieved with and
measured, not to be asked.
"""


def main() -> None:
    """Write the card."""
    facts, worth, sweep = (
        json.loads(path.read_text())
        for path in (FACTS, RESULTS / "house.json", RESULTS / "scaling.json")
    )
    write_text(CARD, card(facts, worth, sweep))
    print(CARD)


if __name__ == "__main__":
    main()
