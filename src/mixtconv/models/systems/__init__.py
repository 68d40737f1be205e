"""The systems of the comparison that are not a temporal operation in a 2D network."""
