"""feedback: which of several answers is better, by people, by models, and by both."""
