"""Writing a dataset again in a form of which single frames are read fast; the originals stay.

- `run.py`: `prepare`, the whole of it: in parallel, in as many runs as it takes;
- `form.py`: the settings of a prepared video, and its path;
- `output.py`: the folder that is written to: its journal, lock and lists;
- `recordings.py`: recordings as a whole, with the list of their segments;
- `encoding.py`, `pictures.py`: what writes one video, as H.264, as JPEGs or as optical flow.
"""
