"""Sandbox for untrusted code: run it isolated, or refuse to run it; see docs/reference/core.md."""
