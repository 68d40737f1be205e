"""Pages and pictures of trained models, above training: reports, ablations, the demonstration.

- `settings`: what the commands take, without torch.
- `inputs`: reads runs and finds the videos to score them on; `scored_runs` scores them.
- `content`: the content of a page, for `runs` (`mixtconv report`) and `demo`.
- `events`: those that runs find in recordings, with a page to look at.
- `ablation`: the table and the chart of an ablation; `samples`: the first training batch.
"""
