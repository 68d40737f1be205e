"""Reports of training runs, ablations and the demo."""
