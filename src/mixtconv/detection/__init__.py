"""Events in recordings and streams, found by a model: its scores over time into `mixtconv.events`.

- `settings`: when scores are taken and how events are made of them, as model files store it; flags.
- `scorers`: a model that gives scores over time, by frames or by windows; `streams`: of a stream.
- `recordings`: annotated recordings of data; `scoring`: the scores of many, and their events.
- `evaluate`: events of a model against annotated ones; `tune`: settings chosen on annotated ones.
- `files`: events as CSV, JSON, subtitles or the video with captions; `page`: as a page to look at.
"""
