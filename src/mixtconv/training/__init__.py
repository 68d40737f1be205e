"""Training recognizers.

- `settings`: all settings of a run, without torch, `label_settings` those of uneven classes;
  `identity`: which of them make two runs the same; `recipes`: published ones, by name.
- `plan`: what a run works out of its settings once; `fit`: the run itself, from plan to files;
  `run_origin`: what it starts from.
- `initial_weights`, `data`, `module`, `loss`, `optimizer`: model, loaders, steps and schedule of a
  run; `backbone_layers`: layer decay, gradient checkpoints.
- `head_run`: a run on a frozen backbone, whose kept `features` train heads; `head_search`: which.
- `run_folder`: its files; `record`: its scores, of an epoch `epoch_scores`; `checkpoint`: its
  state; `step_log`: where a long epoch is.
- `ablation`: many runs that differ in the temporal operation.
"""
