"""How the bytes of a file become the text of a script."""

from __future__ import annotations

from pgready.core.errors import Place, ScriptError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_ENCODINGS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def decode(path: str, data: bytes) -> str:
    """The text of the file *path*: strictly UTF-8, without its byte order mark, free of NUL.

    Raises ScriptError with line and byte where it is anything else; UTF-16 and UTF-32 are named.
    """
    for mark, encoding in _OTHER_ENCODINGS:
        if data.startswith(mark):
            hint = f"save it as UTF-8: iconv -f {encoding} -t UTF-8 {path}"
            raise ScriptError(f"is {encoding}, not UTF-8", hint=hint, place=Place(path, 1))
    unmarked = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        text = unmarked.decode()
    except UnicodeDecodeError as error:
        offset = error.start + len(data) - len(unmarked)
        raise ScriptError(
            f"is not UTF-8: byte 0x{data[offset]:02x} at offset {offset} ({error.reason})",
            hint=f"save it as UTF-8; if it is Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 {path}",
            place=Place(path, data.count(b"\n", 0, offset) + 1),
        ) from None
    if "\0" in text:
        offset = data.index(b"\0")
        raise ScriptError(
            f"holds a NUL byte at offset {offset}, which PostgreSQL's text cannot",
            hint="remove it, or save the file as UTF-8 if it is UTF-16 without a byte order mark",
            place=Place(path, data.count(b"\n", 0, offset) + 1),
        )
    return text
