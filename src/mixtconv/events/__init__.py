"""Events: from scores of classes over time to stretches with a class, and how good those are.

Nothing here knows of models, videos or files; NumPy is all it needs.

- `event`: events that were found, and annotated ones; `scores`: scores over time, exactly.
- `settings`: thresholds, smoothing, least length and so on, as they are stored in model files.
- `detector`: all at once or step by step, with the same events; `joining`: from stretches above the
  thresholds to events.
- `curves`: the scores of hours at few points, for a page.
- `temporal_detection`: mAP at temporal IoU, and spotting mAP; `temporal_segmentation`: frame-wise
  accuracy, edit score and F1; `metrics`: all of them, by class.
- `tuning`: settings chosen on annotated recordings.
"""
