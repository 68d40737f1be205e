"""Backbones, insertion of temporal operations, the named recognisers, model files."""
