"""What `mixtconv bench` and `mixtconv profile` measure, each candidate beside its baselines.

- `benchmark`: `mixtconv bench SUBJECT`; a file for each subject: `operation` (op), `model` (model,
  stream), `training_step` (train), `loader` (loader), `exported` (export).
- `profile`: `mixtconv profile`.
- `timing`: interleaved rounds and their ratios; `memory`: peak memory; `processes`: new ones to
  measure in, and busy ones to measure beside.
- `baselines`: other formulations of the operations; `settings`; `environment`: the machine.

Measurements for one question, which no command runs, are scripts in the repository's `benchmarks/`.
"""
