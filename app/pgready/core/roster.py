"""A long list that changes one item at a time, and every version of which stays what it was."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Generic, TypeVar

from msgspec import Struct

Item = TypeVar("Item")

# Near the square root of ten thousand: a change copies two short tuples, not the whole list.
_CHUNK = 128


class Roster(Struct, Generic[Item], frozen=True):
    """Items in order, found by key. `with_item` makes a new roster; it shares all but one chunk."""

    chunks: tuple[tuple[Item, ...], ...] = ()
    positions: Mapping[Hashable, int] = {}

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable(self.chunks)

    def find(self, key: Hashable) -> Item | None:
        position = self.positions.get(key)
        return None if position is None else self.chunks[position // _CHUNK][position % _CHUNK]

    def with_item(self, key: Hashable, item: Item) -> Roster[Item]:
        """This roster with *item* in the place of *key*, which it must know."""
        at, offset = divmod(self.positions[key], _CHUNK)
        chunk = self.chunks[at]
        changed = (*chunk[:offset], item, *chunk[offset + 1 :])
        return Roster((*self.chunks[:at], changed, *self.chunks[at + 1 :]), self.positions)


def roster(items: Iterable[tuple[Hashable, Item]]) -> Roster[Item]:
    """A roster of *items* with their keys; of several with one key, the last is found."""
    listed = tuple(items)
    values = tuple(item for _, item in listed)
    chunks = tuple(values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
    return Roster(chunks, {key: position for position, (key, _) in enumerate(listed)})
