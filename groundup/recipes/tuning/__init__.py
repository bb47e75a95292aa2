"""Recipes of tuning: several trainings from one start, and what they are worth side by side."""
