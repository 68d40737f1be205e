"""Annotation files: stretches of recordings with a label, as annotation tools write them.

- `segment.py`: `AnnotatedSegment`, and `Annotations`, what a file says in all;
- `reading.py`: `read_annotations` finds the format by the content, `annotation_files` those of a
  folder;
- `listing.py`: their videos found on the disk, for `datasets/catalog.py`;
- one file a format: `label_studio.py`, `cvat.py`, `elan.py`, `boris.py` with `boris_project.py`
  and `boris_table.py`, `via.py`, `create_ml.py`, `activitynet.py`, `thumos.py`;
- what these share: `documents.py` (JSON, XML and CSV, exact numbers), `video_names.py` (addresses
  of videos), `splits.py`.

Times are exact fractions and kept as the file says them, also where they lie outside of the video
or are reversed.
"""

from mixtconv.data.annotations.listing import list_annotations
from mixtconv.data.annotations.reading import annotation_files, read_annotations
from mixtconv.data.annotations.segment import AnnotatedSegment, Annotations, TimeUnit

__all__ = [
    "AnnotatedSegment",
    "Annotations",
    "TimeUnit",
    "annotation_files",
    "list_annotations",
    "read_annotations",
]
