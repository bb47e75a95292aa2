"""What llama.cpp computes from the GGUF files that we write.

Run by `make oracles` after gguf_models.py. Writes tests/fixtures/gguf/llama.json: for each file
its sha256, for some prompts of ids the log-probability of every next token, and for twenty others
what follows greedily. For files with our tokenizer also the ids of texts, and what a chat becomes;
for those of others the ids alone.
"""

import hashlib
import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import xllamacpp

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "tests" / "fixtures" / "gguf" / "llama.json"
LENGTHS = (1, 3, 9, 40)
TEXTS = ("see the cat", " a\n\n  b 123!", "naïve 😀 <|im_end|>", "don't  stop")
LINES = json.loads((ROOT / "tests/fixtures/imported/lines.json").read_text("utf-8"))[::4]
CHAT = [{"role": "user", "content": "Why?"}]
GREEDY = [[(5 * place + row * row + 3 * row) % 31 for place in range(8)] for row in range(20)]
"""Prompts of eight ids each."""
FOLLOWING = 12
SHOWN = 32
"""An id of one letter in every file: chosen, so that a reply has text; log-probabilities are those
of before the choice."""


def open_model(path: Path) -> xllamacpp.Server:
    """A server of one file, on one thread; keys and values in single precision."""
    params = xllamacpp.CommonParams()
    params.model.path, params.warmup, params.port = str(path), False, 0
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 64, 1, 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(params)


def next_logprobs(server: xllamacpp.Server, ids: list[int], vocab: int) -> list[float]:
    """The log-probability of every id after a prompt."""
    reply = server.handle_completions({
        "prompt": ids, "max_tokens": 1, "n_predict": 1, "temperature": 0, "n_probs": vocab,
        "logprobs": vocab, "cache_prompt": False, "logit_bias": [[SHOWN, 1000]],
    })  # fmt: skip
    if isinstance(reply, str):
        reply = json.loads(reply)
    found = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    by_id = {each["id"]: each["logprob"] for each in found}
    return [round(by_id[id], 6) for id in range(vocab)]


def ask(server: xllamacpp.Server, route: str, body: dict) -> dict:
    """One request to the server's own routes."""
    request = urllib.request.Request(
        f"{server.listening_address}/{route}", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def follow(server: xllamacpp.Server, ids: list[int]) -> list[int]:
    """The likeliest ids after a prompt, the end of text apart."""
    return ask(server, "completion", {
        "prompt": ids, "n_predict": FOLLOWING, "temperature": 0, "return_tokens": True,
        "ignore_eos": True, "cache_prompt": False,
    })["tokens"]  # fmt: skip


def ids_of(server: xllamacpp.Server, texts: Sequence[str]) -> dict[str, list[int]]:
    """Ids of texts, specials in them as text."""
    return {
        text: ask(server, "tokenize", {"content": text, "parse_special": False})["tokens"]
        for text in texts
    }


def texts(server: xllamacpp.Server) -> dict:
    """Ids of texts, specials in them as text; and a chat as the template in the file renders it."""
    return {
        "ids": ids_of(server, TEXTS),
        "chat": ask(server, "apply-template", {"messages": CHAT})["prompt"],
    }


def main() -> None:
    """Write the fixture anew."""
    found = {}
    for path in sorted((ROOT / ".oracles" / "gguf").glob("*.gguf")):
        server = open_model(path)
        if path.stem.startswith("texts"):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.stem] = {"sha256": sha256, "ids": ids_of(server, LINES)}
            continue
        vocab = 265 if path.stem.startswith("stored") else 40
        kept = range(vocab) if vocab == 40 else range(0, vocab, 5)
        prompts = []
        for length in LENGTHS:
            ids = [(7 * place + place * place + 3) % (vocab - 9) for place in range(length)]
            logprobs = next_logprobs(server, ids, vocab)
            prompts.append({"ids": ids, "logprobs": [logprobs[id] for id in kept]})
        found[path.stem] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "prompts": prompts,
            "kept": list(kept),
        }  # fmt: skip
        if vocab == 40:
            found[path.stem]["greedy"] = [follow(server, ids) for ids in GREEDY]
        if path.stem.startswith("stored"):
            found[path.stem] |= texts(server)
    PLACE.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
