"""Putting a dataset into a form of which single frames are read fast; the originals stay."""
