"""Finding what is wrong with a dataset before a long run does.

- `run.py`: `check`, every entry and every frame; `report.py`: its result;
- `preflight.py`: a quick look at every video before the first training step;
- `video.py`: the whole check of one video;
- `sides.py`: what should be on one side of a split: `copies.py` finds videos with the same bytes,
  `near_duplicates.py` those that look the same.
"""
