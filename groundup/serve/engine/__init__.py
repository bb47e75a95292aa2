"""The engine in processes of their own: what they compute, and how the server talks to them."""
