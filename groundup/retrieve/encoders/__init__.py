"""encoders: passages and questions as vectors, so that other words are found too."""
