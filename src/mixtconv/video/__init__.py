"""Reading video: exact frames, times, windows and live sources, as arrays; imports no torch."""
