"""Renders run records for people and for CI: HTML, Markdown, JUnit. Knows no model, no attack, no torch."""
