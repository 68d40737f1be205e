"""Action recognition in video at the cost of a 2D network."""
