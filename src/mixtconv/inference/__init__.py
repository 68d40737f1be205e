"""Prediction on videos and streams that the user names.

| | videos | streams |
|---|---|---|
| interface, independent of the engine | `predicting` | `streams` |
| model files, run by torch | `torch_recognizers` | `torch_recognizers` |
| exported models, run without torch | `engine_recognizers` | `engine_recognizers` |

- `loading`: `load_recognizer` and `load_streaming_recognizer` choose by the kind of file.
- `collection`: many videos, here or in processes of Ray.
- `prediction_tables`: labels of many videos as a file; `embeddings`: videos as vectors.
- `timeline`: windows along a long video; `timeline_files` writes them, `labelled_video` as a video.
- `engines/`: exported files and the packages that run them.
"""
