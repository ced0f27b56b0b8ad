"""Privacy: who was in the training data, and what does a model tell about them."""
