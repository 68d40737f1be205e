"""Weights that others published, made into model files of mixtconv."""
