"""Interaction logs: the type, readers for the usual layouts, filters, splits, embedded and generated data."""
