"""Other migration tools, each behind the same few verbs; see `peer.Peer`."""

from __future__ import annotations

from .golang_migrate import GolangMigrate
from .goose import Goose
from .peer import Peer

PEERS: tuple[type[Peer], ...] = (GolangMigrate, Goose)
"""Those that tests/peers/test_conformance.py drives."""
