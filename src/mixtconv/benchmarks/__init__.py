"""Speed of the operation, the model, the training step and the loader, beside baselines."""
