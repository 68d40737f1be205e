"""Weights that others published, made into model files of mixtconv.

`convert` makes the recognizer; `formats` says what the keys of each format are, `contents` sorts
those of a file, `matching` compares shapes and finds the placement of the temporal operation.
`transformers` knows what files of adapters say and lack.
"""
