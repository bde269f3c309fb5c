"""Django's ORM for the statements of every job's life: what it makes is made once, and kept.

Composing a statement and its SQL costs Django ten times what the database takes to answer it.
Here that is paid at the first use: a `Select` is an ordinary QuerySet with parameters in it, and
`insert` and `update` take and leave models. Everything else in Telerun uses the ORM as it is.
"""

import functools
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.expressions import Expression

M = TypeVar("M", bound=models.Model)

_LARGEST = models.BigIntegerField.MAX_BIGINT


def _database() -> Any:
    """This thread's connection itself: `django.db.connection` looks it up at every use of it."""
    return connections[DEFAULT_DB_ALIAS]


class Parameter(Expression):
    """Stands in a QuerySet for a value that is given when the query runs.

    `field` is needed where the database wants more than Python's own int or str.
    """

    def __init__(self, name: str, field: models.Field | None = None) -> None:
        super().__init__(output_field=field)
        self.name = name
        self._kind = field

    def as_sql(self, _compiler: Any, _connection: Any) -> tuple[str, list[Any]]:
        return "%s", [self]

    def value(self, values: dict[str, Any], connection: Any) -> Any:
        """What the database's driver is given for it."""
        value = values[self.name]
        return value if self._kind is None else self._kind.get_db_prep_value(value, connection)


class Select(Generic[M]):
    """A QuerySet of whole models, or of some of their fields, without joins.

    Written where the models are known; compiled when it is first used.
    """

    def __init__(self, query: models.QuerySet[M]) -> None:
        self._query = query

    def all(self, **values: Any) -> list[M]:
        """The models that match."""
        return list(self._run(values))

    def first(self, **values: Any) -> M | None:
        """The first of them; the QuerySet has a slice if there may be more."""
        return next(self._run(values), None)

    def keys(self, **values: Any) -> list[int]:
        """The keys of those that match, for a QuerySet of `only` the key."""
        return [key for (key,) in self._rows(_database(), self._compiled[0], values)]

    def count(self, **values: Any) -> int:
        """How many match, for a QuerySet without a slice."""
        counting = f"SELECT COUNT(*) FROM ({self._compiled[0]}) AS matches"  # noqa: S608
        return self._rows(_database(), counting, values)[0][0]

    def _run(self, values: dict[str, Any]) -> Iterator[M]:
        connection = _database()
        sql, _, names, converters = self._compiled
        for row in self._rows(connection, sql, values):
            if converters:
                row = list(row)  # noqa: PLW2901
                for place, expression, functions in converters:
                    for function in functions:
                        row[place] = function(row[place], expression, connection)
            yield self._query.model.from_db(connection.alias, names, row)

    def _rows(self, connection: Any, sql: str, values: dict[str, Any]) -> list[Any]:
        if any(isinstance(v, int) and v > _LARGEST for v in values.values()):
            return []  # no column holds it, and the drivers refuse it
        parameters = self._compiled[1]
        given = [p.value(values, connection) if isinstance(p, Parameter) else p for p in parameters]
        with connection.kept_cursor() as cursor:
            cursor.execute(sql, given)
            return cursor.fetchall()

    @functools.cached_property
    def _compiled(self) -> tuple[str, tuple[Any, ...], list[str], list[Any]]:
        query = self._query.all().query  # a copy: compiling changes it, and others may be at it
        compiler = query.get_compiler(connection=_database())
        sql, parameters = compiler.as_sql()
        columns = [column for column, _, _ in compiler.select]
        converters = [
            (place, expression, functions)
            for place, (functions, expression) in compiler.get_converters(columns).items()
        ]
        return sql, parameters, [column.target.attname for column in columns], converters


def insert(row: models.Model) -> None:
    """`row.save(force_insert=True)`, without signals. A new key is set in `row`."""
    connection, model = _database(), type(row)
    sql, fields = _insertion(model, row.pk is None)
    given = [f.get_db_prep_save(getattr(row, f.attname), connection) for f in fields]
    with connection.kept_cursor() as cursor:
        cursor.execute(sql, given)
        if row.pk is None:
            row.pk = _key_of_new_row(connection, cursor, model)
    row._state.adding, row._state.db = False, connection.alias


def _key_of_new_row(connection: Any, cursor: Any, model: type[models.Model]) -> int:
    if connection.features.can_return_columns_from_insert:
        return cursor.fetchone()[0]
    return connection.ops.last_insert_id(cursor, model._meta.db_table, model._meta.pk.column)


@functools.cache
def _insertion(model: type[models.Model], new_key: bool) -> tuple[str, list[models.Field]]:
    connection, meta = _database(), model._meta
    quote = connection.ops.quote_name
    fields = [f for f in meta.concrete_fields if not (new_key and f.primary_key)]
    columns, places = ", ".join(quote(f.column) for f in fields), ", ".join("%s" for _ in fields)
    sql = f"INSERT INTO {quote(meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    if new_key and connection.features.can_return_columns_from_insert:
        sql += f" RETURNING {quote(meta.pk.column)}"
    return sql, fields


def update(model: type[models.Model], where: dict[str, Any], **changes: Any) -> int:
    """`model.objects.filter(**where).update(**changes)`: how many rows there were.

    Names are those of columns (`user_id`); in `where` None is NULL, a list means any of its
    values, and all else equality.
    """
    connection = _database()
    many = tuple((name, _how_many(value)) for name, value in where.items())
    sql, fields = _change(model, tuple(changes), many)
    values = [*changes.values()]
    for value in where.values():
        values += value if isinstance(value, list) else [] if value is None else [value]
    given = [f.get_db_prep_save(v, connection) for f, v in zip(fields, values, strict=True)]
    with connection.kept_cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.rowcount


def _how_many(value: Any) -> int | None:
    """None for NULL, -1 for equality, the length of a list."""
    return None if value is None else len(value) if isinstance(value, list) else -1


@functools.lru_cache(maxsize=256)
def _change(
    model: type[models.Model],
    changes: tuple[str, ...],
    where: tuple[tuple[str, int | None], ...],
) -> tuple[str, list[models.Field]]:
    fields, quote = {f.attname: f for f in model._meta.concrete_fields}, _database().ops.quote_name
    setting = ", ".join(f"{quote(fields[name].column)} = %s" for name in changes)
    conditions, given = [], [fields[name] for name in changes]
    for name, many in where:
        test = "IS NULL" if many is None else "= %s"
        if many is not None and many >= 0:
            test = f"IN ({', '.join(['%s'] * many) or 'NULL'})"
        conditions.append(f"{quote(fields[name].column)} {test}")
        given += [fields[name]] * (0 if many is None else abs(many))
    sql = f"UPDATE {quote(model._meta.db_table)} SET {setting} WHERE {' AND '.join(conditions)}"  # noqa: S608
    return sql, given
