"""Entries as bytes, for what outlives the process or is shared by several."""

from typing import Final

import msgspec
import numpy as np

from cache.entry import Entry

_encoder: Final = msgspec.msgpack.Encoder(enc_hook=lambda vector: vector.astype("<f4").tobytes())
_decoder: Final = msgspec.msgpack.Decoder(Entry, dec_hook=lambda _, data: np.frombuffer(data, dtype="<f4"))


def encoded(entry: Entry) -> bytes:
    """The entry as MessagePack; its vector in single precision."""
    return _encoder.encode(entry)


def decoded(data: bytes) -> Entry:
    """What `encoded` made. Raises msgspec.DecodeError, and ValueError for a vector that is none."""
    return _decoder.decode(data)
