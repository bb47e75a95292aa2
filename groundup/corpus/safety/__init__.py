"""What a text may not say: personal data, and words that hurt."""
