"""Profiles of fake users, made from what an attacker may know, and the experiment that measures them."""
