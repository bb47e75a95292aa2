"""What is a model trained to do? Each objective makes batches of token rows and has its loss."""
