"""The sides of decode.py: each opens one model and continues prompts in a process of its own.

    side = Side("llama.cpp", python, work)      # our process: starts a worker and asks it
    python -m benchmarks.generate.decode_sides WHO WORK    # the worker, in any environment

A side continues some prompts together by the most likely token and reports two times: until every
prompt has its first token, and from there to the last. Weights have `bits`; keys and values are
float32 beside 32 bits, otherwise 16 bits on all sides. A waiting worker uses no processor.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

ROOT = Path(__file__).resolve().parents[2]


class Work(TypedDict):
    """What a worker opens."""

    folder: str
    """A model directory in float32."""
    gguf: str
    """The same model as llama.cpp reads it."""
    bits: int
    threads: int
    positions: int
    """Of all sequences together, prompts and answers."""


class Continuation(NamedTuple):
    """How prompts were continued."""

    prefill_seconds: float
    decode_seconds: float
    ids: list[list[int]]


Continue = Callable[[list[list[int]], int], Continuation]


def groundup_side(work: Work) -> Continue:
    """The batching engine on the native stack; an engine for each call, so no prefix is known."""
    import torch

    from groundup.core import Sampling, device
    from groundup.generate import BatchEngine, DecodeRequest, SchedulerLimits
    from groundup.model import NativeDecoder, load

    device.set_num_threads(work["threads"])
    cache = torch.float32 if work["bits"] == 32 else torch.bfloat16
    blocks = work["positions"] // 32 + 16  # every sequence's last one may be partly empty
    bits: Any = work["bits"]
    decoder = NativeDecoder(load(work["folder"]), blocks, bits=bits, cache_dtype=cache)

    def answer(prompts: list[list[int]], count: int) -> Continuation:
        limits = SchedulerLimits(token_budget=sum(map(len, prompts)))
        engine = BatchEngine(decoder, limits=limits)
        ids: dict[int, list[int]] = {}
        started = time.perf_counter()
        for prompt in prompts:
            ids[engine.add(DecodeRequest(prompt, Sampling(max_tokens=count)))] = []
        first = 0.0
        while not engine.is_idle:
            for token in engine.step():
                ids[token.request].append(token.id)
            first = first or time.perf_counter()
        return Continuation(first - started, time.perf_counter() - first, list(ids.values()))

    return answer


def transformers_side(work: Work) -> Continue:
    """transformers' `generate` with its default cache; a streamer notes when tokens come."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(work["threads"])
    dtype = torch.float32 if work["bits"] == 32 else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(work["folder"], dtype=dtype).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    class Clock(BaseStreamer):
        """Times at which the prompt and each token were handed over."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: Any) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    def answer(prompts: list[list[int]], count: int) -> Continuation:
        clock, ids = Clock(), torch.tensor(prompts)
        started = time.perf_counter()
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
            streamer=clock,
        )  # fmt: skip
        first, last = clock.times[1], clock.times[-1]
        return Continuation(first - started, last - first, out[:, ids.shape[1] :].tolist())

    return answer


def llama_side(work: Work) -> Continue:
    """llama.cpp's own `llama_decode`, sequences in parallel in one batch."""
    import llama_cpp
    import numpy as np

    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        work["gguf"].encode(), llama_cpp.llama_model_default_params()
    )
    vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    contexts: dict[int, Any] = {}
    batch = llama_cpp.llama_batch_init(work["positions"], 0, 1)

    def submit(context: Any, tokens: list[tuple[int, int, int, bool]]) -> None:
        """Compute tokens: id, position, sequence, and whether its logits are wanted."""
        for i, (id, position, sequence, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = id, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.n_tokens = len(tokens)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise SystemExit("llama_decode failed")

    def choose(context: Any, rows: list[int]) -> list[int]:
        """The most likely token of each row of the batch."""
        pointers = [llama_cpp.llama_get_logits_ith(context, row) for row in rows]
        return [int(np.ctypeslib.as_array(each, (vocab_size,)).argmax()) for each in pointers]

    def answer(prompts: list[list[int]], count: int) -> Continuation:
        sequences, size = len(prompts), len(prompts[0])
        if sequences not in contexts:
            contexts[sequences] = llama_context(model, work, sequences)
        context = contexts[sequences]
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
        started = time.perf_counter()
        submit(context, [(id, at, each, at == size - 1)
                         for each, prompt in enumerate(prompts)
                         for at, id in enumerate(prompt)])  # fmt: skip
        steps = [choose(context, [size * each + size - 1 for each in range(sequences)])]
        first = time.perf_counter()
        for position in range(size, size + count - 1):
            submit(context, [(id, position, each, True) for each, id in enumerate(steps[-1])])
            steps.append(choose(context, list(range(sequences))))
        last = time.perf_counter()
        return Continuation(first - started, last - first, [list(ids) for ids in zip(*steps)])  # noqa: B905

    return answer


def llama_context(model: Any, work: Work, sequences: int) -> Any:
    """A context of llama.cpp for so many sequences, its other settings as they are by default."""
    import llama_cpp

    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = work["positions"]
    params.n_seq_max = sequences
    params.n_threads = params.n_threads_batch = work["threads"]
    kind = "GGML_TYPE_F32" if work["bits"] == 32 else "GGML_TYPE_F16"
    params.type_k = params.type_v = getattr(llama_cpp, kind)
    return llama_cpp.llama_init_from_model(model, params)


SIDES: dict[str, Callable[[Work], Continue]] = {
    "groundup": groundup_side, "llama.cpp": llama_side, "transformers": transformers_side,
}  # fmt: skip


def worker(who: str, work: Work) -> None:
    """Continue the prompts of every line on stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    continue_prompts = SIDES[who](work)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(continue_prompts(*json.loads(line))), file=answers, flush=True)


class Side:
    """A worker process."""

    def __init__(self, who: str, python: str, work: Work) -> None:
        self.who, self.log = who, tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as we do
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(work["threads"])}
        command = [python, "-m", "benchmarks.generate.decode_sides", who, json.dumps(work)]
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True,
        )  # fmt: skip
        self._read()

    def ask(self, prompts: list[list[int]], count: int) -> Continuation:
        """Let the worker continue prompts, each by `count` tokens."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([prompts, count]) + "\n")
        self.process.stdin.flush()
        return Continuation(*json.loads(self._read()))

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> str:
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            self.log.seek(0)
            raise SystemExit(f"decode.py: {self.who} ended early:\n{self.log.read()[-4000:]}")
        return line


if __name__ == "__main__":
    worker(sys.argv[1], json.loads(sys.argv[2]))
