"""How to train so that single accounts weigh less."""
