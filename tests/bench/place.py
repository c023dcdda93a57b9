"""A database that a measurement has for itself."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import FreshDatabase, environment
from tests.databases import Databases, owner_url, used_by_django


def own_database(stack: ExitStack) -> FreshDatabase:
    """Make a database with all tables, which this process uses too, and a folder beside it, until the stack ends."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    server = Databases()
    server.open()
    stack.callback(server.close)
    name = stack.enter_context(server.cloned())
    stack.enter_context(used_by_django(name))
    return FreshDatabase(name, owner_url(name), environment(name, folder), folder)
