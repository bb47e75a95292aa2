"""Scaling: ladders of models, laws through their losses, forecasts, and what a budget buys."""
