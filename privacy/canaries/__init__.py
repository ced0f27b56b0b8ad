"""Canaries: events planted by fair coins before training, and what a model remembers of them."""
