"""Models in llama.cpp's format GGUF: one file with metadata, tokenizer and weights."""
