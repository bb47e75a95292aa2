"""Questions that documents answer: found by rules, checked, chosen, sealed as a test set."""
