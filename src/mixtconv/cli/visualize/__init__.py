"""`mixtconv visualize WHAT`: one module and one function for each picture."""

SUBJECTS = {
    "kernels": "the learned temporal kernels of a model, against those that training started from",
    "tsne": "a map of the features of models, side by side, with their neighbourhood accuracy",
    "cam": "where in the frames of a video a model finds a class",
    "confusion": "which class is taken for which, with confused classes side by side",
    "sample": "what the loader gives to the network after augmentation",
    "predictions": "wrong and right predictions with their frames, the surest first",
}
"""Name -> what it draws; each is a function of that name in the module of that name."""
