"""Texts of items as vectors: encoders that need no network, and the texts themselves."""
