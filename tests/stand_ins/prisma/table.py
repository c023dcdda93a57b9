"""What a client does with one table, in the words of Prisma's query language as far as LiteLLM uses them."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from .errors import PrismaError

Columns = dict[str, str]
Run = Callable[[str, Sequence[Any]], Awaitable[list[dict[str, Any]]]]
OPERATORS = {
    "equals": "{} = {}",
    "not": "{} IS DISTINCT FROM {}",
    "lt": "{} < {}",
    "lte": "{} <= {}",
    "gt": "{} > {}",
    "gte": "{} >= {}",
    "in": "{} = ANY ({})",
    "not_in": "{} <> ALL ({})",
    "contains": "strpos({}, {}) > 0",
    "startswith": "starts_with({}, {})",
}


class Row(SimpleNamespace):
    """A row of a table; what it does not have is None."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """Return it as a dict."""
        return dict(vars(self))

    dict = model_dump

    def json(self, **_: Any) -> str:
        """Return it as JSON."""
        return json.dumps(vars(self), default=str)

    model_dump_json = json

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class Statement:
    """The text of a statement's parts, and the values that stand behind its `$1`, `$2`."""

    def __init__(self, columns: Columns) -> None:
        self.columns, self.values = columns, list[Any]()

    def put(self, name: str, value: Any) -> str:
        """Put a value for a column in, and return what stands for it."""
        if isinstance(value, Mapping) and "set" in value:
            value = value["set"]
        if self.columns[name] == "jsonb" and not isinstance(value, str):
            value = json.dumps(value)
        self.values.append(value)
        return f"${len(self.values)}"

    def where(self, wanted: Mapping[str, Any] | None) -> str:
        """Return the condition that picks rows."""
        return " AND ".join(self._condition(name, value) for name, value in (wanted or {}).items()) or "true"

    def _condition(self, name: str, wanted: Any) -> str:
        if name in ("AND", "OR", "NOT"):
            each = [f"({self.where(one)})" for one in (wanted if isinstance(wanted, list) else [wanted])]
            return f"NOT ({' OR '.join(each)})" if name == "NOT" else f"({f' {name} '.join(each) or 'true'})"
        if name not in self.columns:  # a key of several columns, by a name of its own
            return self.where(wanted)
        if wanted is None:
            return f'"{name}" IS NULL'
        tests = wanted if isinstance(wanted, Mapping) else {"equals": wanted}
        return " AND ".join(self._test(name, test, value) for test, value in tests.items())

    def _test(self, name: str, test: str, value: Any) -> str:
        if test not in OPERATORS:
            raise PrismaError(f"{name}: this stand-in does not know {test!r}")
        return OPERATORS[test].format(f'"{name}"', self.put(name, value))

    def changes(self, data: Mapping[str, Any]) -> str:
        """Return what an update sets."""
        return ", ".join(self._change(name, value) for name, value in data.items() if name in self.columns)

    def _change(self, name: str, value: Any) -> str:
        if isinstance(value, Mapping) and "increment" in value:
            return f'"{name}" = "{name}" + {self.put(name, value["increment"])}'
        return f'"{name}" = {self.put(name, value)}'


class Table:
    """One table; columns that it does not have are left out of what is written."""

    def __init__(self, run: Run, name: str, columns: Columns) -> None:
        self._run, self._name, self._columns = run, name, columns

    async def find_many(
        self, where: Any = None, take: int | None = None, skip: int = 0, order: Any = None, **_: Any
    ) -> list[Row]:
        """Return rows; what belongs to them in other tables is not brought along."""
        made, orders = Statement(self._columns), order if isinstance(order, list) else [order or {}]
        query = f'SELECT * FROM "{self._name}" WHERE {made.where(where)}'
        by = ", ".join(f'"{name}" {way}' for one in orders for name, way in one.items())
        query += (f" ORDER BY {by}" if by else "") + f" OFFSET {int(skip)}"
        query += "" if take is None else f" LIMIT {int(take)}"
        return [Row(**row) for row in await self._run(query, made.values)]

    async def find_first(self, where: Any = None, **more: Any) -> Row | None:
        """Return the first row."""
        return next(iter(await self.find_many(where, **{**more, "take": 1})), None)

    find_unique = find_first

    async def count(self, where: Any = None, **_: Any) -> int:
        """Count rows."""
        made = Statement(self._columns)
        rows = await self._run(f'SELECT count(*) AS n FROM "{self._name}" WHERE {made.where(where)}', made.values)
        return int(rows[0]["n"])

    async def create(self, data: Mapping[str, Any], **_: Any) -> Row:
        """Add a row."""
        return Row(**(await self._insert(data, ""))[0])

    async def create_many(self, data: Sequence[Mapping[str, Any]], skip_duplicates: bool = False, **_: Any) -> int:
        """Add rows; returns how many."""
        added = [await self._insert(row, "ON CONFLICT DO NOTHING" if skip_duplicates else "") for row in data]
        return sum(map(len, added))

    async def update_many(self, where: Any = None, data: Any = None, **_: Any) -> int:
        """Change rows; returns how many."""
        return len(await self._update(where, data))

    async def update(self, where: Any, data: Any, **_: Any) -> Row | None:
        """Change a row, and return it; None when it is not there."""
        return next((Row(**row) for row in await self._update(where, data)), None)

    async def upsert(self, where: Any, data: Any, **_: Any) -> Row:
        """Change a row that is there, or add it."""
        return await self.update(where, data["update"]) or await self.create(data["create"])

    async def delete_many(self, where: Any = None, **_: Any) -> int:
        """Delete rows; returns how many."""
        made = Statement(self._columns)
        query = f'DELETE FROM "{self._name}" WHERE {made.where(where)} RETURNING 1 AS n'
        return len(await self._run(query, made.values))

    delete = delete_many

    async def _insert(self, data: Mapping[str, Any], ending: str) -> list[dict[str, Any]]:
        made = Statement(self._columns)
        # What Prisma's engine fills in, and no default of the database's.
        own = {"id": str(uuid4()), "updated_at": datetime.now(UTC)}
        kept = {name: value for name, value in {**own, **data}.items() if name in self._columns}
        names = ", ".join(f'"{name}"' for name in kept)
        put = ", ".join(made.put(name, value) for name, value in kept.items())
        return await self._run(f'INSERT INTO "{self._name}" ({names}) VALUES ({put}) {ending} RETURNING *', made.values)

    async def _update(self, where: Any, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        made = Statement(self._columns)
        changes, condition = made.changes(data), made.where(where)
        if not changes:
            return await self._run(f'SELECT * FROM "{self._name}" WHERE {condition}', made.values)
        return await self._run(f'UPDATE "{self._name}" SET {changes} WHERE {condition} RETURNING *', made.values)
