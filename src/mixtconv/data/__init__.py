"""Videos with labels: listing and preparing them, and clips of them as tensors.

- Listing, without torch: `listing` (videos, faults, splits), `layouts` (folders and CSV files),
  `groups` (clips that belong together), `background` (time without a label), `recordings` (with all
  that is annotated in them), `text_tables`, `list_columns`, `list_lines`, `labels` (classes, pairs
  that mirroring exchanges), `class_sizes` (too few videos to judge a class by), `journal` (what a
  prepared folder was made from), `annotations/` (labelled stretches of recordings, as annotation
  tools write them), `datasets/` (public datasets, and the catalog that a run trains on).
- Tensors: `clips` (frames of a video), `modality` (frames, differences, optical flow), `transforms`
  (crops, mirroring, colours), `rand_augment` (drawn for a whole clip), `frame_cache` (videos
  shrunk once), `protocol` (clips and crops that are scored), `views` (their tensors), `dataset`
  (samples, batches and loaders), `training_clips` (random ones), `same_clip` (what another model
  sees of one), `clip_labels`, `epoch_sampler` (their order).
- Many videos at a time: `parallel` (threads), `ray_workers` (Ray), `workers` (either).
- Tools on top: `checking/` (`mixtconv check`, and before training), `preparation/` (`mixtconv
  prepare`), `synthetic/` (generated clips with known classes).
"""
