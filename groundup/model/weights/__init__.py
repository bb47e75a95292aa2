"""How are a model's weights stored? A directory of safetensors, 8-bit words in them, or GGUF."""
