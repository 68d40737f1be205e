"""Scores of models on labelled videos, and what is computed from scores.

- `settings`: which videos, by which protocol; `evaluate`: a model file on labelled videos.
- `scoring`: a model over the views of videos; `distributed`: in several processes.
- `confidence`: calibration, and videos of none of the classes; `calibrate`: of a model file.
- `metrics`: accuracies and confusions; `spread`: over several seeds.
- `scores_file`: scores on disk; `fusion`: their weighted mean.
- `complexity`: parameters and multiply-accumulates; `zoo`: those of the published systems.
"""
