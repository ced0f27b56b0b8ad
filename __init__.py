"""recaudit: a privacy and robustness audit suite for recommender systems."""

__version__ = "0.1.0"
