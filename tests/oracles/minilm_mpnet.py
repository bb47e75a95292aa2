"""all-mpnet-base-v2's ids and vectors of 50 texts, as Transformers computes them.

Run by `make oracles`. Five packages hold its files as a zip in parts. The texts are every fourth of
tests/fixtures/minilm/sentences.json; tests/fixtures/mpnet/vectors.safetensors takes unit vectors in
float16 (means of the last states), all ids in a row, and their counts.
"""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from tests.real_weights import join_mpnet

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@torch.no_grad()
def main() -> None:
    """Write the fixture anew."""
    texts = json.loads((FIXTURES / "minilm" / "sentences.json").read_text())[::4]
    with tempfile.TemporaryDirectory() as folder:
        path = join_mpnet(Path(folder))
        tokenizer, model = (
            AutoTokenizer.from_pretrained(path),
            AutoModel.from_pretrained(path).eval(),
        )
    rows = [tokenizer(text, truncation=True, max_length=384)["input_ids"] for text in texts]
    means = [model(torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows]
    vectors = torch.nn.functional.normalize(torch.stack(means), dim=1)
    ids = torch.tensor([id for row in rows for id in row], dtype=torch.int16)
    counts = torch.tensor([len(row) for row in rows], dtype=torch.int16)
    found = {"vectors": vectors.half().contiguous(), "ids": ids, "counts": counts}
    (FIXTURES / "mpnet").mkdir(exist_ok=True)
    save_file(found, FIXTURES / "mpnet" / "vectors.safetensors")


if __name__ == "__main__":
    main()
