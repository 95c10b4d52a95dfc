"""Text that must never be shown."""

from __future__ import annotations

MASK = "***"


class Secret:
    """A text that shows itself as `***` however it is rendered; `reveal()` gives the text.

    It is no `str`, so that nothing can concatenate, log or encode it by accident, and it cannot be
    pickled. Encoders take it through `mask_secrets`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def mask_secrets(value: object) -> str:
    """An `enc_hook` for msgspec and a `default` for json that renders a Secret as `***`.

    Raises TypeError for anything else, as both expect.
    """
    if isinstance(value, Secret):
        return MASK
    raise TypeError(f"cannot encode {type(value).__name__}")
