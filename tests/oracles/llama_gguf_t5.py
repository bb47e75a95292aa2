"""What llama.cpp computes from the encoder–decoders that we write as GGUF.

Run by `make oracles` after gguf_models.py; llama.cpp's server aborts on them, so its C interface is
called: llama_encode, then llama_decode of all ids at once. Writes tests/fixtures/gguf/t5.json: for
each file its sha256, the id with which the decoder begins, for some pairs of sources and targets
the log-probabilities after the last ids of the target, and for twenty sources the likeliest twelve
ids, the end of text apart.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "tests" / "fixtures" / "gguf" / "t5.json"
VOCAB, DIGITS = 40, 6
LENGTHS, KEPT = ((1, 1), (3, 9), (17, 5), (150, 160)), 9
"""Of source and target, and how many last rows are kept; the longest exceed all buckets."""
GREEDY = [[(5 * place + row * row + 3 * row) % 31 for place in range(8)] for row in range(20)]
FOLLOWING = 12


def ids_of(length: int, first: int) -> list[int]:
    """Ids that differ from place to place."""
    return [(7 * place + place * place + first) % (VOCAB - 9) for place in range(length)]


def open_model(path: Path) -> tuple:
    """A model, and a context in single precision on one thread."""
    ffi, lib = get_ffi(), get_lib()
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    assert model != ffi.NULL, f"llama.cpp does not open {path}"
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 256
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # GGML_TYPE_F32
    params.flash_attn_type = 0  # disabled
    return model, lib.llama_init_from_model(model, params)


def logprobs(context, source: list[int], target: list[int]) -> np.ndarray:
    """Log-probabilities after every id of the target, (T, V)."""
    ffi, lib = get_ffi(), get_lib()
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    tokens = ffi.new("llama_token[]", source)
    assert lib.llama_encode(context, lib.llama_batch_get_one(tokens, len(source))) == 0
    batch = lib.llama_batch_init(len(target), 0, 1)
    batch.n_tokens = len(target)
    for place, id in enumerate(target):
        batch.token[place], batch.pos[place], batch.logits[place] = id, place, 1
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    assert lib.llama_decode(context, batch) == 0
    size = len(target) * VOCAB
    logits = np.frombuffer(ffi.buffer(lib.llama_get_logits(context), 4 * size), np.float32)
    lib.llama_batch_free(batch)
    logits = logits.reshape(-1, VOCAB).astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def follow(context, source: list[int], start: int) -> list[int]:
    """The likeliest ids behind the one with which the decoder begins."""
    target = [start]
    for _ in range(FOLLOWING):
        target.append(int(logprobs(context, source, target)[-1, : VOCAB - 1].argmax()))
    return target[1:]


def main() -> None:
    """Write the fixture anew."""
    get_lib().llama_backend_init()
    found = {}
    for path in sorted((ROOT / ".oracles" / "gguf" / "seq2seq").glob("*.gguf")):
        model, context = open_model(path)
        pairs = []
        for place, (before, after) in enumerate(LENGTHS):
            source, target = ids_of(before, place), ids_of(after, 3 * place + 1)
            values = logprobs(context, source, target)[-KEPT:].round(DIGITS).tolist()
            pairs.append({"source": source, "target": target, "logprobs": values})
        start = get_lib().llama_model_decoder_start_token(model)
        found[path.stem] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "start": start, "pairs": pairs,
            "greedy": [follow(context, source, start) for source in GREEDY],
        }  # fmt: skip
    PLACE.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
