"""The Open Inference Protocol v2, as KServe and Triton speak it: bytes in, arrays out, and back.

A request or a response is a JSON object, in which a tensor's values are either JSON numbers or,
by the binary tensor extension, raw bytes behind the JSON::

    {"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [1, 3],
                 "parameters": {"binary_data_size": 24}}]}<24 bytes, little-endian, row by row>

The HTTP header :data:`BINARY_HEADER` then says where the JSON ends. Nothing here opens a socket.
The decoders take bytes from strangers: for any bytes whatever they return what the types say or
raise :class:`~dimec.base.errors.ProtocolError`, with memory in proportion to the body.

Strings (``BYTES``) are texts in UTF-8, see :mod:`dimec.protocol.texts`.

Left out on purpose: scalars (the protocol wants one dimension or more), shared memory and Triton's
classification extension are refused; parameters that are not known are ignored.

Source: Open Inference Protocol, "Inference Protocol v2 REST"; Triton's "Binary Tensor Data" and
"Schedule Policy" extensions; RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from dimec.protocol.decoding import decode_error, decode_request, decode_response
from dimec.protocol.digests import (
    DIGEST_HEADER,
    RECEIVED_HEADER,
    content_digest,
    digest_matches,
    states_digest,
)
from dimec.protocol.encoding import encode_error, encode_request, encode_response
from dimec.protocol.messages import (
    BINARY_HEADER,
    BYTES,
    DATATYPES,
    LARGEST_TEXT,
    PAIR,
    TEXT,
    InferRequest,
    InferResponse,
    Limits,
    Message,
    datatype_of,
)

__all__ = [
    "BINARY_HEADER",
    "BYTES",
    "DATATYPES",
    "DIGEST_HEADER",
    "LARGEST_TEXT",
    "PAIR",
    "RECEIVED_HEADER",
    "TEXT",
    "InferRequest",
    "InferResponse",
    "Limits",
    "Message",
    "content_digest",
    "datatype_of",
    "decode_error",
    "decode_request",
    "decode_response",
    "digest_matches",
    "encode_error",
    "encode_request",
    "encode_response",
    "states_digest",
]
