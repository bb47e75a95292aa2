"""How are models exchanged with llama.cpp? GGUF: one file of metadata, tokenizer and weights."""
