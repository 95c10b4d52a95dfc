"""Other migration tools, each behind the same few verbs; see `peer.Peer`."""

from __future__ import annotations

from .dbmate import Dbmate
from .flyway import Flyway
from .golang_migrate import GolangMigrate
from .goose import Goose, GooseLibrary
from .graphile_migrate import GraphileMigrate
from .node_pg_migrate import NodePgMigrate
from .peer import Peer
from .prisma import Prisma
from .refinery import Refinery
from .sqlx import Sqlx, SqlxLibrary
from .tern import Tern

PEERS: tuple[type[Peer], ...] = (
    Dbmate,
    GolangMigrate,
    Goose,
    GooseLibrary,
    Sqlx,
    SqlxLibrary,
    Flyway,
    NodePgMigrate,
    Prisma,
    GraphileMigrate,
    Tern,
    Refinery,
)
"""Those that tests/peers/test_conformance.py drives."""
