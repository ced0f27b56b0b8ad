"""The command line; the only place that knows every folder. Heavy imports happen inside the commands."""

from .program import app, main

__all__ = ["app", "main"]
