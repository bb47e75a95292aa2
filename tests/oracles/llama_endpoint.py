"""What llama.cpp's own HTTP server answers, byte for byte: a tiny random model, real replies.

Run by `make oracles`. Writes tests/fixtures/endpoint/llama.json: the requests as
`groundup.generate.Endpoint` sends them, each with the status, the content type and the body that
came. The model has one token a byte, so its replies hold broken characters, as they should.
"""

import json
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "endpoint"
MODEL = "tiny"
SEED, WIDTH, LAYERS, HEADS, INNER, CONTEXT = 0, 64, 2, 4, 96, 512
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
QUESTION = [{"role": "user", "content": "Why?"}]
FIXED = {"model": MODEL, "max_tokens": 8, "temperature": 0.0, "seed": 0}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}

# name: (route, body); an empty body is a GET
REQUESTS = {
    "models": ("models", {}),
    "chat": ("chat/completions", {**FIXED, "messages": QUESTION}),
    "chat with logprobs": ("chat/completions", {**FIXED, "messages": QUESTION, "logprobs": True}),
    "chat streamed": ("chat/completions", {**FIXED, **STREAM, "messages": QUESTION}),
    "raw": ("completions", {**FIXED, "prompt": "Why?"}),
    "raw streamed": ("completions", {**FIXED, **STREAM, "prompt": "Why?"}),
    "echo": ("completions", {"model": MODEL, "prompt": "a b", "max_tokens": 1, "temperature": 0,
                             "logprobs": 1, "echo": True}),
    "prompt_logprobs": ("chat/completions", {**FIXED, "messages": QUESTION, "prompt_logprobs": 0,
                                             "add_generation_prompt": True}),
    "too long": ("completions", {**FIXED, "prompt": "x" * 3000}),
    "no messages": ("chat/completions", {**FIXED, "messages": []}),
    "embeddings": ("embeddings", {"model": MODEL, "input": ["a"], "encoding_format": "float"}),
    "no such route": ("nothing", {"model": MODEL}),
}  # fmt: skip


def byte_names() -> list[str]:
    """A printable name for each byte, as GPT-2's vocabulary writes it."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def write_model(path: Path) -> None:
    """Write a LLaMA of random weights whose tokens are bytes."""
    writer, random = gguf.GGUFWriter(path, "llama"), np.random.default_rng(SEED)
    tokens = [*byte_names(), "<|begin|>", "<|start|>", "<|end|>", "ab"]
    writer.add_name(MODEL)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3] * 3 + [1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(258)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, shape in shapes(len(tokens)).items():
        ones = len(shape) == 1
        values = np.ones(shape) if ones else 0.3 * random.standard_normal(shape)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape."""
    found = {
        "token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,),
        "output.weight": (vocabulary, WIDTH),
    }  # fmt: skip
    for layer in range(LAYERS):
        place = f"blk.{layer}."
        found |= {f"{place}{name}_norm.weight": (WIDTH,) for name in ("attn", "ffn")}
        found |= {
            f"{place}attn_{name}.weight": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")
        }
        found |= {f"{place}ffn_{name}.weight": (INNER, WIDTH) for name in ("gate", "up")}
        found[f"{place}ffn_down.weight"] = (WIDTH, INNER)
    return found


def ask(address: str, route: str, body: dict) -> dict:
    """One request, and what came."""
    request = urllib.request.Request(
        f"{address}/v1/{route}", json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            status, kind, content = reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        status, kind, content = error.code, error.headers["Content-Type"], error.read()
    return {"route": route, "body": body, "status": status, "kind": kind, "reply": content.decode()}


def main() -> None:
    """Start the server on a free port, ask everything, write it down."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "tiny.gguf"
        write_model(path)
        params = xllamacpp.CommonParams()
        params.model.path, params.port, params.warmup = str(path), 0, False
        params.n_ctx, params.n_parallel, params.cpuparams.n_threads = CONTEXT, 1, 1
        server = xllamacpp.Server(params)
        found = {n: ask(server.listening_address, *each) for n, each in REQUESTS.items()}
        text = json.dumps(found, indent=1).replace(str(path), MODEL)
    ROOT.mkdir(parents=True, exist_ok=True)
    (ROOT / "llama.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
