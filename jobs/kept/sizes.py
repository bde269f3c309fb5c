"""How large things are, as the database itself says: to check the counters, and to correct them."""

from typing import Any

from django.db.models import BigIntegerField, Func, QuerySet, Sum

from jobs.kept.counting import Bytes
from jobs.models import Attempt, Job, OutputFile


class _TextBytes(Func):
    """Of a text, in UTF-8."""

    function = "OCTET_LENGTH"
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "LENGTH(CAST(%(expressions)s AS BLOB))"
        return super().as_sql(compiler, connection, template=template, **more)


class _BlobBytes(Func):
    """Of bytes, which are not read for it."""

    function = "OCTET_LENGTH"
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, function="LENGTH", **more)


class _ObjectBytes(Func):
    """Of the texts in a JSON object, in UTF-8; their names do not count."""

    function = "JSONB_EACH_TEXT"
    output_field = BigIntegerField()
    template = (
        "(SELECT COALESCE(SUM(OCTET_LENGTH(one.value)), 0) "
        "FROM %(function)s(%(expressions)s) AS one%(columns)s)"
    )
    columns = ""

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = (
            "(SELECT COALESCE(SUM(LENGTH(CAST(value AS BLOB))), 0) FROM JSON_EACH(%(expressions)s))"
        )
        return super().as_sql(compiler, connection, template=template, **more)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, columns=self.columns, **more)


class _ListBytes(_ObjectBytes):
    """The same of a JSON list."""

    function = "JSONB_ARRAY_ELEMENTS_TEXT"
    columns = "(value)"


SOURCES = (
    _TextBytes("source") + _ObjectBytes("sources") + _ObjectBytes("includes") + _ListBytes("args")
)
SIZES = {f"{log}_bytes": _BlobBytes(log) for log in ("compile_log", "execute_log")}
LOGS = _BlobBytes("compile_log") + _BlobBytes("execute_log")


def by_user(jobs: QuerySet[Job]) -> dict[int, Bytes]:
    """What is kept of these jobs, by their users. Three queries, which read all that they count."""
    of_jobs = jobs.order_by().values_list("user").annotate(size=Sum(SOURCES))
    attempts = Attempt.objects.filter(job__in=jobs.order_by()).order_by()
    files = OutputFile.objects.filter(attempt__in=attempts).order_by()
    logs = dict(attempts.values_list("job__user").annotate(logs=Sum(LOGS)))
    in_files = dict(files.values_list("attempt__job__user").annotate(sizes=Sum("size")))
    return {
        user: Bytes(int(size), logs.get(user, 0), in_files.get(user, 0))
        for user, size in sorted(of_jobs)
    }
