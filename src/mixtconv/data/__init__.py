"""Reading video, frame sampling, transforms, dataset layouts and the synthetic dataset."""
