"""Attribute inference: what user vectors and lists tell about gender, age and occupation."""
