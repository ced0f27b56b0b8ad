"""Rewriting the text of an item one owns, against models that read texts; no account is injected."""
