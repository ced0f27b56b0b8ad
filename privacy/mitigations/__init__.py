"""What may be done against leaks, measured by the same attacks as the model without it."""
