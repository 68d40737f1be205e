"""Training recognizers.

- `settings`: all settings of a run, without torch, `label_settings` those of uneven classes;
  `identity`: which of them make two runs the same; `recipes`: published ones, by name.
- `plan`: what a run works out of its settings once; `fit`: the run itself, from plan to files;
  `run_origin`: what it starts from.
- `initial_weights`, `data`, `module`, `loss`, `optimizer`: model, loaders, steps and schedule of a
  run; `backbone_layers`: layer decay, gradient checkpoints.
- `distillation_settings`, `teachers` and what loads them, `open_teachers`: whose scores are learned
  beside the labels, `teacher_content`: what each is known by; `soft_targets`, `mixed_clips`,
  `distillation`: the loss; `mutual`: the second student.
- `trainer`, `quiet`: Lightning's trainer of a run, and what it does not say.
- `head_run`: a run on a frozen backbone, whose kept `features` train heads; `head_search`: which.
- `run_folder`: its files; `record`: its scores, of an epoch `epoch_scores`; `checkpoint`: its
  state; `step_log`: where a long epoch is.
- `ablation`: many runs that differ in the temporal operation.
"""
