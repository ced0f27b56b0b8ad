"""Unlearning that ends where a training without the forget set ends."""
