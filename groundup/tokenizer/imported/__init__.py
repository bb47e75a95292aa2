"""Imported tokenizers: all common formats behind the Tokenizer protocol."""
