"""groundup builds language models from the ground up and keeps them grounded.

One package, one command line, one chain of artifacts from raw documents to an assistant that
answers with exact quotes or refuses. The rooms (subpackages) below follow the data flow, and a room
imports only rooms before it; tests, the command line's help and the docs use this order.
"""

__version__ = "0.1.0"

ROOMS = (
    "core",
    "measure",
    "kernels",
    "documents",
    "corpus",
    "tokenizer",
    "model",
    "embeddings",
    "adapt",
    "train",
    "generate",
    "prompt",
    "align",
    "compress",
    "retrieve",
    "evaluate",
    "redteam",
    "monitor",
    "serve",
    "console",
    "recipes",
)
