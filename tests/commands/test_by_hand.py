"""What the commands share that change a history by hand."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pgready.commands.main import pgready


@pytest.mark.parametrize(
    "command", [("down",), ("repair", "1"), ("baseline",), ("adopt",), ("eject", "goose")]
)
def test_a_reason_that_is_no_text_is_refused(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(pgready, [*command, "--reason", "caf\udce9"])

    assert result.exit_code == 2
    assert "Invalid value for '--reason': is not UTF-8 text" in result.output
