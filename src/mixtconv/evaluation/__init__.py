"""Protocols of views, metrics and complexity: everything that gives a model a number."""
