"""Was it forgotten? Statistics, their power, a verdict."""
