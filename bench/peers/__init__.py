"""The peers that are measured: how each is had, and what has to be known of it to compare it fairly."""

from __future__ import annotations

from msgspec import Struct

from harness.peers.flyway import Flyway
from harness.peers.golang_migrate import GolangMigrate
from harness.peers.goose import Goose
from harness.peers.graphile_migrate import GraphileMigrate
from harness.peers.peer import Tool
from harness.peers.prisma import Prisma
from harness.peers.sqlx import Sqlx

from .alembic import Alembic
from .dbmate import Dbmate
from .drizzle_kit import DrizzleKit
from .liquibase import Liquibase
from .node_pg_migrate import NodePgMigrate
from .refinery import Refinery
from .sqitch import Sqitch
from .tern import Tern
from .yoyo import Yoyo

EACH = "each"
ALL = "all"
APART = "apart"


class Entry(Struct, frozen=True):
    """One peer. *transactions* is its rule: one for EACH migration with its record, one for ALL of them, or
    the record APART from the script, in another. *at_once* is whether starting several of it at once is safe,
    by a lock of its own. *most* is how many migrations it is given: more take it minutes, or are too many
    for one transaction."""

    name: str
    tool: type[Tool]
    transactions: str = EACH
    at_once: bool = False
    most: int = 10_000


PEERS = (
    Entry("dbmate", Dbmate),
    Entry("goose", Goose),
    Entry("golang-migrate", GolangMigrate, APART, at_once=True),
    Entry("tern", Tern, at_once=True),
    Entry("sqlx-cli", Sqlx),
    Entry("refinery", Refinery),
    Entry("drizzle-kit", DrizzleKit, ALL, most=1000),
    Entry("node-pg-migrate", NodePgMigrate, at_once=True),
    Entry("graphile-migrate", GraphileMigrate, most=1000),
    Entry("prisma", Prisma, APART, at_once=True, most=1000),
    Entry("alembic", Alembic),
    Entry("yoyo", Yoyo, at_once=True, most=1000),
    Entry("sqitch", Sqitch, APART, at_once=True, most=50),
    Entry("flyway", Flyway, at_once=True),
    Entry("liquibase", Liquibase, at_once=True, most=1000),
)

NOT_HAD = {
    "atlas": "its library is a Go module, its command, which keeps the history, is in no registry; "
    "the npm package downloads it",
}
"""Peers that are not measured, and why."""

QUICK_PEERS = ("dbmate", "goose", "golang-migrate", "node-pg-migrate", "alembic")
"""What `make bench` has time for."""
