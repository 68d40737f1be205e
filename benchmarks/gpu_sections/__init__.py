"""The sections of `benchmarks/gpu.py`, each a function that records figures with a `Run`.

- `run`: sizes, time and figures of a run; `timing`: events, CUDA graphs, turns, peak memory.
- `correctness`, `operation`, `recognizers` (inference, training, compiled), `streams`,
  `transformer`: the sections; `reference`: the temporal filter and its gradients as loops.
- `worker`: the process that runs them; `table`: goals and tables from the figures, without torch.
"""
