"""Victims: what they are, how they are trained, saved and ranked."""
