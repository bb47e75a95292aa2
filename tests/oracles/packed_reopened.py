"""What Transformers computes from 8- and 4-bit copies of our dense decoders.

Run by `make oracles`. Every tiny preset of a decoder is quantised, saved and opened by Transformers
with compressed-tensors. Writes tests/fixtures/decoders/packed.json: for each preset and width the
model_type of the directory and the largest difference of a logit.
"""

import json

import torch

from groundup.compress import quantize_weights
from groundup.model import Transformer, presets
from tests.oracles.decoders_llama import ROOT, reopen

PLACE, VOCAB = ROOT / "packed.json", 64


def main() -> None:
    """Write the fixture anew."""
    found = {}
    for name, preset in presets().items():
        config = preset.config.model_copy(update={"vocab_size": VOCAB})
        if not name.endswith("-tiny") or config.kind != "decoder":
            continue
        for bits in (8, 4):
            torch.manual_seed(0)
            model = Transformer(config, seed=1).eval()
            for parameter in model.parameters():
                parameter.data += 0.02 * torch.randn_like(parameter)
            quantize_weights(model, bits)
            ids = torch.randint(VOCAB, (2, 48))
            try:
                found[f"{name} {bits}"] = reopen(model, ids, torch.ones_like(ids))
            except (ValueError, KeyError):  # our own format
                found[f"{name} {bits}"] = {"model_type": "groundup"}
    PLACE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
