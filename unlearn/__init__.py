"""Unlearning: methods that forget, and the verification of anyone's forgetting."""
