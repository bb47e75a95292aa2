"""Serve: a model and documents behind the API that OpenAI's clients speak."""
