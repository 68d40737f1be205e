"""The stack on which this thread handles signals, kept as it was while OpenVINO compiles.

On Linux OpenVINO gives the thread that compiles a model a signal stack of the model's own, and when
the model goes it puts back the one that it found. Of two models that go in the order in which they
came, the second puts back the stack of the first, which is gone: the next signal that Python
handles, such as Ctrl-C or the end of a child process, kills the process.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put back the signal stack of the thread at the end of the block; elsewhere than on Linux do
    nothing.

    >>> with kept_signal_stack():
    ...     pass
    """
    if sys.platform != "linux":
        yield
        return
    exchange = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    exchange(None, ctypes.byref(before))
    try:
        yield
    finally:
        exchange(ctypes.byref(before), None)
