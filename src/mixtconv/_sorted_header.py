"""Equal content as equal bytes: the header of a safetensors file with its metadata in order.

Safetensors (0.8) writes the tensors in an order of their own, but the keys of the metadata in that
of a hash map, which is another one in every process.
"""

import json
import struct

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8
"""Of the tensors, in bytes from the start of the file."""


def with_sorted_metadata(content: bytes) -> bytes:
    """The same safetensors file with the keys of its metadata sorted.

    >>> from safetensors.numpy import save
    >>> import numpy as np
    >>> content = save({"a": np.zeros(1, np.uint8)}, metadata={"y": "2", "x": "1"})
    >>> with_sorted_metadata(content)[8:40]
    b'{"__metadata__":{"x":"1","y":"2"'
    """
    (length,) = _LENGTH.unpack_from(content)
    start = _LENGTH.size + length
    header = json.loads(content[_LENGTH.size : start])
    if "__metadata__" not in header:
        return content
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([_LENGTH.pack(len(text)), text, memoryview(content)[start:]])
