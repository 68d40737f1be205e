"""Frames one after the other, from files, cameras, URLs and pipes."""
