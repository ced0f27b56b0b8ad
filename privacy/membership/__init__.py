"""Membership inference: which events, or users, a model was trained on."""
