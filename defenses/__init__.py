"""Defences against fake accounts: who looks fake, and how to train so that it matters less."""
