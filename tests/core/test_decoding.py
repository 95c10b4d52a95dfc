from __future__ import annotations

import pytest

from pgready.core.decoding import decode
from pgready.core.errors import ScriptError


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode("a.sql", b"\xef\xbb\xbfSELECT 1;\r\n") == "SELECT 1;\r\n"


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"SELECT 1;\n-- caf\xe9\n", 2, ["0xe9", "offset 16", "WINDOWS-1252"]),
        (b"\xef\xbb\xbfSELECT '\xff'", 1, ["0xff", "offset 11"]),
        (b"SELECT 1;\n\n\0", 3, ["NUL", "offset 11"]),
        (b"\xff\xfeS\0E\0", 1, ["UTF-16", "iconv"]),
        (b"\xfe\xff\0S", 1, ["UTF-16"]),
        (b"\xff\xfe\0\0S\0\0\0", 1, ["UTF-32"]),
        (b"S\0E\0L\0", 1, ["NUL", "UTF-16"]),
        (b"\xed\xb0\x80", 1, ["UTF-8"]),
    ],
)
def test_the_error_names_the_line_and_the_byte_that_is_not_utf8(
    data: bytes, line: int, words: list[str]
) -> None:
    with pytest.raises(ScriptError) as caught:
        decode("a.sql", data)

    assert caught.value.place is not None
    assert (caught.value.place.file, caught.value.place.line) == ("a.sql", line)
    said = f"{caught.value.what} {caught.value.hint}"
    assert [word for word in words if word not in said] == []
