"""Small models written as GGUF by us, for llama.cpp to open (llama_gguf_models.py).

Run by `make oracles`. Writes .oracles/gguf/<name>.gguf: one of each architecture in single
precision, and one with our own tokenizer in every type that we write; encoder–decoders in a folder
of their own, seq2seq. The tests write them again, to the same bytes.
"""

import shutil

from tests.model.weights.gguf.models import WRITTEN, write_all, write_seq2seq


def main() -> None:
    """Write every file anew."""
    shutil.rmtree(WRITTEN, ignore_errors=True)
    WRITTEN.mkdir(parents=True)
    write_all(WRITTEN)
    write_seq2seq(WRITTEN / "seq2seq")


if __name__ == "__main__":
    main()
