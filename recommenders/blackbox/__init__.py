"""Systems that are no checkpoint: asked for lists or scores, and perhaps for a retraining."""
