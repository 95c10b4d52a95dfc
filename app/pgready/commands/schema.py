"""`pgready schema`: the database as it is, or one table of it. Reads the catalogue and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from pgready.commands.console import Console
from pgready.commands.options import load_settings, output_option, settings_options
from pgready.commands.process import finish, show
from pgready.core.errors import ExitCode
from pgready.core.inspection import (
    Inspection,
    NoSuchRelation,
    NoSuchSchema,
    Question,
    Sort,
    document,
    is_hidden,
    plain,
    words,
)
from pgready.core.inspection_text import detail, overview
from pgready.core.suggestions import suggest
from pgready.database.inspect import inspect_at, names_at
from pgready.running import assemble
from pgready.settings import Settings, required_target


@click.command("schema")
@click.argument("table", required=False)
@settings_options
@output_option
@click.option(
    "--search", default="", help="only tables with these words in their or a column's name", metavar="TEXT"
)
@click.option("--in", "schema", help="only this schema", metavar="SCHEMA")
@click.option("--sort", type=click.Choice([each.value for each in Sort]), default="name", show_default=True,
              help="of the tables; the largest first")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True,
              help="how many tables to show")  # fmt: skip
@click.option("--offset", type=click.IntRange(0), default=0, help="how many to skip")
@click.option("--system", is_flag=True, help="the schemas of the server and of pgready, too")
def command(table: str | None, output: str, search: str, system: bool, sort: str, **others: Any) -> int:
    """Show schemas, tables, columns, keys, indexes, sizes and the rest as they are; with TABLE, all of one.

    Needs no right but to connect, waits for no lock and shows no row.
    """
    shape = {name: others.pop(name) for name in ("schema", "limit", "offset")}
    if shape["schema"] is not None:
        shape["schema"] = plain(shape["schema"])
    question = Question(
        name=None if table is None else plain(table),
        words=words(search),
        hidden=system,
        sort=Sort(sort),
        **shape,
    )
    settings = load_settings(others)
    console = Console(settings, started_at=datetime.now(UTC), quiet=True)

    async def work() -> int:
        async with assemble.located(settings, console.emit) as located:
            inspection = await _look(located, question)
        show(_written(inspection, question, output))
        return ExitCode.DONE

    return finish(work, console.fail)


async def _look(settings: Settings, question: Question) -> Inspection:
    target, vouched = required_target(settings), settings.pooler == "session"
    inspection = await inspect_at(target, question, vouched_pooler=vouched)
    if question.name is not None and not inspection.relations:
        nearest = suggest(question.name, _both(await names_at(target, vouched_pooler=vouched)))
        raise NoSuchRelation(
            f"no table or view is called {question.name}{nearest}", hint="pgready schema lists them"
        )
    if question.name is None and question.schema is not None and not inspection.schemas:
        if not is_hidden(question.schema):
            names = await names_at(target, vouched_pooler=vouched)
            nearest = suggest(question.schema, {name.partition(".")[0] for name in names})
            raise NoSuchSchema(
                f"no schema is called {question.schema}{nearest}", hint="pgready schema lists them"
            )
        if not question.hidden:
            raise NoSuchSchema(f"the schema {question.schema} is hidden", hint="--system shows it")
    return inspection


def _both(names: tuple[str, ...]) -> set[str]:
    """*names* with and without their schemas."""
    return {*names, *(name.partition(".")[2] for name in names)}


def _written(inspection: Inspection, question: Question, output: str) -> str:
    if output == "json":
        return msgspec.json.encode(document(inspection)).decode()
    if question.name is None:
        return overview(inspection, searched=bool(question.words))
    return "\n\n".join(map(detail, inspection.relations))
