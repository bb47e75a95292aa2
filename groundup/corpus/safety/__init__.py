"""Safety: personal data, secrets and what harms."""
