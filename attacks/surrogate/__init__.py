"""Models an attacker trains to see where fake profiles lead: differentiable in the profiles."""
