"""How often answers are wrong on this folder, and a promise of how often at most."""
