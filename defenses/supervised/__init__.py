"""Detectors that learn: fakes are simulated from the log, an account is judged by a model that never saw it."""
