"""endpoint: any OpenAI-compatible server as a model, as patient and as careful as one must be."""
