"""Networks that write ratings into profiles, and what they are trained on and judged by."""
