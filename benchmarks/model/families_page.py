"""docs/reference/models.md: which families open, how equal they are, what runs natively.

    python -m benchmarks.model.families_page

Equality is of results/odd_models.json (`python -m benchmarks.model.odd_models --keep`); the rest is
asked of the code: a refusal is the registry's own message, native decoding and its reasons are of
the shape that Transformers' configuration class has by default. A test compares the page with what
this makes, without Transformers.
"""

import json
from typing import Any

from benchmarks.model.models_page import ROOT, results
from groundup.core import ArtifactError
from groundup.model.decoders.paged import unsupported_parts
from groundup.model.families.registry import FAMILIES, get_family, read_config
from groundup.model.weights.gguf.architectures import ARCHITECTURES, KIN

PAGE = ROOT / "docs" / "reference" / "models.md"
ASKED = """
llama mistral mixtral qwen2 qwen3 qwen3_moe qwen3_next gemma gemma2 gemma3_text gemma3 phi phi3
smollm3 olmo olmo2 olmo3 granite gpt_oss deepseek_v2 deepseek_v3 minicpm3 llama4_text glm4 exaone4
cohere stablelm starcoder2 nemotron gpt_neox gptj falcon bloom opt gpt2 openai-gpt bert roberta
xlm-roberta distilbert albert electra deberta deberta-v2 mpnet modernbert t5 switch_transformers mt5
umt5 bart mbart
""".split()
"""52 that a survey of model hubs and readers' questions named, before 38 of them opened."""
HEAD = """# Models: families that open

Made by `python -m benchmarks.model.families_page`; do not edit. Of {asked} families that people ask
for, {open} open; {more} more do. What is read of each is in [import](model/import.md), the field's
published shapes are in [models](../benchmarks/models.md).

- *odd models*: random configurations of Transformers' class, all weights random, norms and biases
  too, as Transformers {version} wrote them; those that are refused in a line are not counted.
  Padding left, right and none, texts beyond windows and original lengths, and short ones
- *logits*, *gradients*: largest difference from Transformers' in float32, relative to the largest
  logit or 1; of derivatives along random directions of the tensors, in float64
- *cache*: decoding in pieces against the full pass, in float64
- *keys*: configurations with one key changed, deleted or added: the same logits / refused in one
  line that names what is wrong. Other logits without a word: {changed}
  keys, and odd models: {different}; tracebacks: {crashed}; refused in a line that names another
  thing: {unclear}
- *native*: whether the compiled stack decodes the default shape, or what it does not compute
- *GGUF*: llama.cpp's architecture that `groundup export` writes

Measured with `python -m benchmarks.model.odd_models --seed {seed} --keep` on {date}.
"""
COLUMNS = "| model_type | odd models | logits | gradients | cache | keys | native | GGUF |"


def defaults() -> dict[str, dict[str, Any]]:
    """Every family's configuration as Transformers' class has it without arguments."""
    place = ROOT / "tests" / "fixtures" / "configurations.json"
    found = json.loads(place.read_text("utf-8"))["families"]
    return {name: values["defaults"] for name, values in found.items()}


def native_of(family: str, values: dict[str, Any]) -> str:
    """Whether the native stack decodes this configuration, or what it lacks."""
    own = {"switch_transformers": {"num_sparse_encoder_layers": 6, "num_sparse_decoder_layers": 6}}
    own |= {"deepseek_v2": {"num_experts_per_tok": 6}}
    own["switch_transformers"] |= {"encoder_sparse_step": 2, "decoder_sparse_step": 2}
    config = read_config(values | own.get(family, {}), family)
    if config.kind == "encoder":
        return "encoder"
    return ", ".join(unsupported_parts(config)) or "yes"


def row_of(name: str, values: dict[str, Any], measured: dict[str, Any], gguf: str) -> str:
    """One family's line."""
    cells = [f"`{name}`", *["–"] * 5]
    if measured:
        worst = [f"{measured['worst'][each]:.0e}" for each in ("logits", "gradients", "cache")]
        worst[2] = worst[2] if measured["worst"]["cache"] else ""
        keys = measured["mutations"]
        shown = f"{keys.get('equal', 0)} / {keys.get('refused', 0)}"
        cells = [f"`{name}`", f"{measured['configs']['equal']}", *worst, shown]
    return f"| {' | '.join([*cells, native_of(name, values), gguf])} |"


def refusal(name: str) -> str:
    """What the registry says of a family that does not open; empty if it does."""
    try:
        get_family({"model_type": name}, "config.json")
    except ArtifactError as error:
        return str(error)
    return ""


def markdown() -> str:
    """The whole page."""
    measured, known = results("odd_models"), defaults()
    gguf = {each.family: each.name for each in ARCHITECTURES}
    gguf |= {name: gguf[other] for name, other in KIN.items()}
    families = measured.get("families", {})
    refused = {name: refusal(name) for name in ASKED if refusal(name)}
    others = [name for name in FAMILIES if name not in ASKED and name != "groundup"]
    odd, keys = ([row[part] for row in families.values()] for part in ("configs", "mutations"))
    totals = {each: sum(row.get(each, 0) for row in odd + keys) for each in ("crashed", "unclear")}
    for name, rows in (("different", odd), ("changed", keys)):
        totals[name] = sum(row.get("different", 0) for row in rows)
    given = {key: measured.get(key, "–") for key in ("version", "seed", "date")}
    counts = {"asked": len(ASKED), "open": len(ASKED) - len(refused), "more": len(others)}
    lines = [HEAD.format(**counts, **totals, **given), COLUMNS, "|---" * 8 + "|"]
    for name in [*ASKED, *others]:
        if name not in refused:
            row = row_of(name, known[name], families.get(name, {}), gguf.get(name, "–"))
            lines.append(row)
    lines += ["", "Not opened, with what is said:", ""]
    lines += [f"- `{name}`: {reason}" for name, reason in refused.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(markdown(), "utf-8")
