"""The scanner's answer is read as protobuf reads it."""

from __future__ import annotations

import postgast
from hypothesis import given
from hypothesis import strategies as st

from core.scripts import spoken, sql_like, statement_texts
from pgready.core import sql
from pgready.core.sql import TokenKind, Unscannable


def scanned_by_protobuf(text: str) -> list[bytes]:
    data = text.encode()
    return [data[token.start : token.end] for token in postgast.scan(text).tokens]


def assert_as_protobuf(text: str) -> None:
    try:
        found = list(sql.token_texts(text))
    except Unscannable:
        return
    comments = {postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT}
    assert [raw for _, raw in found] == scanned_by_protobuf(text)
    assert [kind is TokenKind.COMMENT for kind, _ in found] == [
        token.token in comments for token in postgast.scan(text).tokens
    ]


@given(st.lists(sql_like | spoken | statement_texts, max_size=4).map(" ".join))
def test_tokens_are_those_that_protobuf_reads(text: str) -> None:
    assert_as_protobuf(text)
