"""Optimiser recipe, Lightning module, fitting."""
