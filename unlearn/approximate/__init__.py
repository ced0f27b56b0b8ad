"""Unlearning that corrects a trained model."""
