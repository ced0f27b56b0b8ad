"""Checkpoints of other programs: read by looking, never by running."""
