"""Other migration tools, each behind the same few verbs; see `peer.Peer`."""

from __future__ import annotations

from .golang_migrate import GolangMigrate
from .peer import Peer

PEERS: tuple[type[Peer], ...] = (GolangMigrate,)
"""Those that tests/peers/test_conformance.py drives."""
