"""Lists of the admin that stay quick however long their tables are.

A list asks an index for the keys of one page, and then reads these rows. Nothing counts a whole
table; sorted is by what an index serves; a time filter becomes a range of keys.
"""

from datetime import datetime
from typing import Any

from django.contrib.admin import ChoicesFieldListFilter, DateFieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_SHOWN = 10_000  # rows that one may page through
SLACK_SECONDS = 3600.0  # that a clock may be set back: rows are looked at for so much more


class BoundedPaginator(Paginator):
    """Counts to MOST_SHOWN at most, and pages as far."""

    @cached_property
    def is_cut(self) -> bool:
        """Whether there are more rows than it pages through."""
        return self._found > MOST_SHOWN

    @cached_property
    def _found(self) -> int:
        rows = self.object_list.order_by().values("pk")  # type: ignore[union-attr]
        return rows[: MOST_SHOWN + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self._found, MOST_SHOWN)


class KeysFirst(ChangeList):
    """A page's keys are found first, by an index alone; then its rows are read."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if isinstance(self.paginator, BoundedPaginator):
            self.is_cut = self.paginator.is_cut
        keys = list(self.result_list.values_list("pk", flat=True))
        rows = self.root_queryset.filter(pk__in=keys)
        if not rows.query.select_related:
            rows = self.apply_select_related(rows)
        place = {key: number for number, key in enumerate(keys)}
        self.result_list = sorted(rows, key=lambda row: place[row.pk])

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Whatever the address says, sorted is by columns that offer it alone."""
        allowed = self.sortable_by
        asked = self.params.get(ORDER_VAR, "").split(".")
        columns = [self._column(one) for one in asked if one]
        if allowed is not None and not all(column in allowed for column in columns):
            del self.params[ORDER_VAR]
        return super().get_ordering(request, queryset)

    def _column(self, asked: str) -> Any:
        try:
            return self.list_display[int(asked.removeprefix("-"))]
        except (IndexError, ValueError):
            return None


def first_since(model: type[Model], field: str, moment: datetime) -> int:
    """The key of the first row, of a table whose times grow with its keys, that is not before
    `moment`; one more than the last if there is none. About forty looks at the keys' index."""
    rows = model._default_manager.order_by("pk").values_list("pk", field)
    last = rows.last()
    low, high = 0, last[0] + 1 if last else 0
    while low < high:
        middle = (low + high) // 2
        row = rows.filter(pk__gte=middle).first()
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low


def keys_between(
    model: type[Model], field: str, since: datetime | None, until: datetime | None
) -> dict[str, int]:
    """Conditions on the key that keep all rows of that time, and few others.

    Times grow with keys, but for a clock that was set back: up to SLACK_SECONDS are made up for.
    The condition on the time itself must be asked too.
    """
    found = {}
    if since is not None:
        found["pk__gte"] = first_since(model, field, _moved(since, -SLACK_SECONDS))
    if until is not None:
        found["pk__lt"] = first_since(model, field, _moved(until, SLACK_SECONDS))
    return found


def _moved(moment: datetime, seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(moment.timestamp() + seconds, moment.tzinfo)
    except (OverflowError, ValueError, OSError):  # at the ends of the calendar
        return moment


def asked_time(request: HttpRequest, model: type[Model], field: str) -> dict[str, int]:
    """The keys of the time that a TimeFilter of the request's address asks for."""
    made = TimeFilter(
        model._meta.get_field(field), request, dict(request.GET.lists()), model, None, field
    )
    return made.keys(model)


class TimeFilter(DateFieldListFilter):
    """By a time that grows with the key: a range of keys, which goes with any order and filter."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().queryset(request, queryset)
        return found.filter(**self.keys(queryset.model))

    def keys(self, model: type[Model]) -> dict[str, int]:
        """Conditions on the key, that keep all rows of the time that was asked for."""
        since = min(self._moments(self.lookup_kwarg_since), default=None)
        until = max(self._moments(self.lookup_kwarg_until), default=None)
        return keys_between(model, self.field.name, since, until)

    def _moments(self, name: str) -> list[datetime]:
        given = self.used_parameters.get(name, [])
        try:
            return [self.field.get_prep_value(text) for text in given]
        except ValidationError as error:
            raise IncorrectLookupParameters from error


class ChoiceFilter(ChoicesFieldListFilter):
    """By a field of few values. Where another condition leads to fewer rows, such as a search, this
    one is written so that no planner takes its index for the better one."""

    def is_led(self, request: HttpRequest) -> bool:
        """Whether another condition's index is to be used."""
        return bool(request.GET.get(SEARCH_VAR))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        values = self.used_parameters.get(self.lookup_kwarg)
        if not values or not self.is_led(request):
            return super().queryset(request, queryset)
        name = f"_{self.field_path}"
        plain = queryset.alias(**{name: Coalesce(self.field_path, Value(""))})
        return plain.filter(**{f"{name}__in": values})
