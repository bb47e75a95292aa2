"""Explain: what went, what stayed, why, how two runs differ, and who holds what is withdrawn."""
