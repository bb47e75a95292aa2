"""Code answers: run tests against untrusted code from a process that it cannot reach."""
