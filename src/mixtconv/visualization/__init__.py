"""Pictures of models and scores, and the report as a page.

From arrays to figures, one file a subject: `curves`, `confusion`, `kernels`, `activation`,
`feature_map` (with `embedding`, `clip_maps`), `frame_sheet`; what they share is `style` and
`number_text`, how they get into HTML `inline_svg`. `results` is what a report shows, as plain data;
`report/` makes the page of it. `drawing` writes a picture with its numbers, and `drawings/` makes
one from model files and videos for each subject of `mixtconv visualize`. `event_page` shows the
events of recordings; its `event_timeline.js` and `.css` are also on the page of the service.
"""

from mixtconv.visualization.confusion import (
    confusion_matrix,
    confusion_order,
    top_confusions,
)
from mixtconv.visualization.curves import learning_curves
from mixtconv.visualization.kernels import temporal_kernels
from mixtconv.visualization.report.page import render_report, write_report
from mixtconv.visualization.results import (
    CurvePoint,
    ExampleStrip,
    KernelGroup,
    KernelSite,
    ModelResult,
    ProtocolScore,
    Report,
)
from mixtconv.visualization.results import ModelPrediction as Prediction

__all__ = [
    "CurvePoint",
    "ExampleStrip",
    "KernelGroup",
    "KernelSite",
    "ModelResult",
    "Prediction",
    "ProtocolScore",
    "Report",
    "confusion_matrix",
    "confusion_order",
    "learning_curves",
    "render_report",
    "temporal_kernels",
    "top_confusions",
    "write_report",
]
