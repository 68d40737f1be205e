"""Pictures and the report."""

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
    Prediction,
    ProtocolScore,
    Report,
)

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
