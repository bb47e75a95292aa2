"""Bottleneck adapters as AdapterHub computes them on a small LLaMA, and ours as it opens them.

Run by `make oracles`, after peft_adapters.py, whose model it reads. Writes
tests/fixtures/adapters/<style> with a directory of AdapterHub's and `expected.safetensors` (logits
and gradients), and `bottlenecks.json`, the largest difference of logits between us and AdapterHub
for directories that we wrote.
"""

import json
import shutil
import tempfile
from pathlib import Path

import adapters
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import groundup.adapt as adapt
from groundup.model import load
from tests.adapt.models import compare_logits, shake, shake_adapter

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "adapters"
STYLES = {"houlsby": "double_seq_bn", "pfeiffer": "seq_bn", "parallel": "par_bn"}


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(1)
    inputs = load_file(ROOT / "model" / "inputs.safetensors")
    for style, config in STYLES.items():
        write_peer(style, config, inputs["ids"], inputs["weights"])
    differences = {style: write_ours(style, inputs["ids"]) for style in STYLES}
    (ROOT / "bottlenecks.json").write_text(json.dumps(differences, indent=1) + "\n")


def peer() -> AutoModelForCausalLM:
    """The base as AdapterHub prepares it."""
    model = AutoModelForCausalLM.from_pretrained(ROOT / "model")
    adapters.init(model)
    return model


def write_peer(style: str, config: str, ids: torch.Tensor, weights: torch.Tensor) -> None:
    """Compute logits and gradients of a random adapter, and save it."""
    shutil.rmtree(ROOT / style, ignore_errors=True)
    (ROOT / style).mkdir()
    model = peer()
    model.add_adapter("theirs", config=config)
    model.train_adapter("theirs")
    trained = {key: weight for key, weight in model.named_parameters() if ".theirs." in key}
    shake(trained.values())
    logits = model(input_ids=ids).logits
    (logits * weights).sum().backward()
    expected = {f"gradient.{key}": weight.grad for key, weight in trained.items()}
    save_file(expected | {"logits": logits.detach()}, ROOT / style / "expected.safetensors")
    model.save_adapter(str(ROOT / style), "theirs", use_safetensors=True, with_head=False)
    file = ROOT / style / "adapter_config.json"
    values = json.loads(file.read_text()) | {"model_name": "model"}  # not a path of this machine
    file.write_text(json.dumps(values, indent=2) + "\n")


@torch.no_grad()
def write_ours(style: str, ids: torch.Tensor) -> dict[str, float]:
    """The largest difference of logits for an adapter that AdapterHub opens, and its effect."""
    model = load(ROOT / "model")
    adapt.attach_adapter(model, adapt.BottleneckConfig(style=style), "ours")
    shake_adapter(model)
    with tempfile.TemporaryDirectory() as folder:
        adapt.save_adapter(model, "ours", folder)
        theirs = peer().eval()
        theirs.load_adapter(folder, set_active=True, use_safetensors=True, with_head=False)
        logits = theirs(input_ids=ids).logits
    return compare_logits(model, logits, ids)


if __name__ == "__main__":
    main()
