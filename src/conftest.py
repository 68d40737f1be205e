"""Which modules have their doctests collected."""

from importlib.util import find_spec

TRITON_KERNELS = ["mixtconv/ops/triton_filter.py", "mixtconv/ops/triton_kernel.py"]

# They import Triton, which comes with torch on Linux alone.
collect_ignore = [] if find_spec("triton") else TRITON_KERNELS
