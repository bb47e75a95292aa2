"""OpenAI's API: what requests say, and how answers are written."""
