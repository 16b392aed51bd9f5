"""As much of protocol buffers as the health service needs: a string to send, and an enum to read."""

from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


def string_field(number: int, text: str) -> bytes:
    """A message of one string; an empty one is not written, as everywhere."""
    data = text.encode()
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data if data else b""


def enum_field(message: bytes, number: int) -> int:
    """The value of an enum, 0 where the message does not say it. Raises ValueError where it is no message."""
    found, at = 0, 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            found = value if tag >> 3 == number else found
        elif kind == _BYTES:
            length, at = _read_varint(message, at)
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("a field of an unknown kind")
        if at > len(message):
            raise ValueError("a field that is cut off")
    return found


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    raise ValueError("a number that does not end")
