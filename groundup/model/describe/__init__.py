"""Descriptions of a model: its shape and costs, and the routing of its experts."""
