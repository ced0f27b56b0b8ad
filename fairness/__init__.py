"""Individual item fairness: who gets exposure."""
