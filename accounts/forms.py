"""The log-in, and the form that takes a roster."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import failures, logins, roster, second_factor
from accounts.models import Executor, User
from accounts.roster import Line, Roster
from accounts.roster_file import NotText, decoded

NEW, THERE, REFUSED = "new", "there", "refused"
MEANINGS = {
    roster.NAME: "the name that they submit under",
    roster.EMAIL: "e-mail address",
    roster.FIRST: "first name",
    roster.LAST: "last name",
    roster.FULL: "first and last name",
    "": "not used",
}


class Person(NamedTuple):
    """What becomes of a line of the roster."""

    line: int
    name: str
    fate: str  # NEW, THERE or REFUSED
    why: str = ""
    about: dict[str, str] = {}  # noqa: RUF012  (never changed)
    key: int | None = None  # of the one who is there

    def __str__(self) -> str:
        return self.name

    def called(self) -> str:
        """First and last name, as far as they are known."""
        return " ".join(filter(None, map(self.about.get, (roster.FIRST, roster.LAST))))


class _CodeInput(forms.PasswordInput):
    """Shows what is typed, and not again the code that was wrong."""

    input_type = "text"


class CodeField(forms.CharField):
    """A code of the second factor."""

    WRONG = (
        "This code is wrong, or was used already. The next one comes within 30 seconds; if none is "
        "taken, look at your phone's clock."
    )

    def __init__(self) -> None:
        attributes = {"autocomplete": "one-time-code", "spellcheck": "false"}
        super().__init__(
            label="Code",
            max_length=40,
            widget=_CodeInput(attrs=attributes),
            help_text="Of your phone's app; without the phone, one of your recovery codes.",
        )


class LoginForm(AdminAuthenticationForm):
    """The admin's, which tries a password only if not too many have failed (429 if so)."""

    seconds_to_wait = 0

    def clean(self) -> dict[str, Any] | None:
        name, password = map(self.cleaned_data.get, ("username", "password"))
        if not (name and password):
            return super().clean()
        attempt = begin_attempt(self, name)
        try:
            cleaned = super().clean()
        except ValidationError:
            logins.failed(self.request, name, logins.ADMIN)
            raise
        attempt.succeeded()
        return cleaned


class CodeForm(forms.Form):
    """The second factor of a user who has just given the password, or who sets one up.

    `verify` takes the user and the code; after validation `verified` is what it answered.
    """

    code = CodeField()

    def __init__(
        self,
        request: HttpRequest,
        user: User,
        verify: Callable[[User, str], Any] = second_factor.verify,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.user = user
        self.verify = verify
        self.verified: Any = None
        self.seconds_to_wait = 0
        self.fields["code"].widget.attrs["autofocus"] = True

    def clean_code(self) -> None:
        name = self.user.get_username()
        attempt = begin_attempt(self, name)
        self.verified = self.verify(self.user, self.cleaned_data["code"])
        if not self.verified:
            attempt.failed()
            logins.failed(self.request, name, logins.ADMIN)
            raise ValidationError(CodeField.WRONG)
        attempt.succeeded()


def begin_attempt(form: Any, name: str) -> failures.LoginAttempt:
    """What `form` holds for the user of that name is about to be tried, and is counted before.

    Raises ValidationError if too many have failed: `form.seconds_to_wait` says for how long.
    """
    attempt = failures.LoginAttempt(form.request, name)
    form.seconds_to_wait = attempt.begin()
    if form.seconds_to_wait:
        logins.refused(form.request, name, logins.ADMIN, attempt.full)
        minutes = -(-form.seconds_to_wait // 60)
        raise ValidationError(f"Too many log-ins failed. Try again in {minutes} min.")
    return attempt


class NamesForm(forms.Form):
    """A roster of new users or executors: one name, or a table of hundreds.

    After validation: `roster`, `name_column` and `people`, in the order given.
    """

    names = forms.CharField(
        widget=AdminTextareaWidget(attrs={"spellcheck": "false"}),
        help_text="One name a line, or a table as a spreadsheet or the course's system gives it. "
        "Nobody is added before you have seen what was understood.",
    )
    file = forms.FileField(
        label="Or a file", required=False, help_text="CSV or text; it takes the place of the names."
    )
    column = forms.ChoiceField(label="Column of the names", required=False)

    def __init__(
        self, model: type[User | Executor], data: Any = None, files: Any = None, **kwargs: Any
    ) -> None:
        self._wrong_file = ""
        if files and "file" in files:
            data = data.copy()
            data["names"] = self._text_of(files["file"].read())
        super().__init__(data, files, **kwargs)
        self._model = model
        self._name = model._meta.get_field("username" if model is User else "name")
        filled = {
            self._name.name,
            *([roster.EMAIL, roster.FIRST, roster.LAST] if model is User else []),
        }
        self._not_filled = {field.name for field in model._meta.fields} - filled
        self.roster: Roster | None = None
        self.people: list[Person] = []
        if not self.is_bound:
            self.fields["names"].widget.attrs["autofocus"] = True

    def _text_of(self, content: bytes) -> str:
        try:
            return decoded(content)
        except NotText as error:
            self._wrong_file = str(error)
            return ""

    def clean_file(self) -> None:
        if self._wrong_file:
            self.errors.pop("names", None)  # which are empty for that reason
            raise ValidationError(self._wrong_file)

    def clean_names(self) -> str:
        text = self.cleaned_data["names"]
        try:
            self.roster = roster.read(text)
        except roster.TooLong as error:
            raise ValidationError(f"At most {roster.MOST_LINES:,} lines at once.") from error
        if not self.roster.rows:
            raise ValidationError("No name in it.")
        self._offer_columns(self.roster)
        return text

    def clean(self) -> None:
        if self.roster is None or self.errors:
            return
        chosen = self.cleaned_data["column"]
        self.name_column = int(chosen) if chosen else self.roster.name_column(self._is_name)
        self.fields["column"].initial = self.name_column
        self.people = self._sorted_out(self.roster.lines(self.name_column))
        if not self.those(NEW):
            there = not self.those(REFUSED)
            raise ValidationError("All of them are there already." if there else "Nobody to add.")

    def those(self, fate: str) -> list["Person"]:
        return [person for person in self.people if person.fate == fate]

    def columns(self) -> list[tuple[str, str]]:
        """What each column is taken for, to be shown."""
        if self.roster is None or not self.people:
            return []
        meanings = self.roster.meanings(self.name_column)
        return [
            (name, MEANINGS[meaning])
            for name, meaning in zip(self.roster.column_names(), meanings, strict=True)
        ]

    def digest(self) -> str:
        """Of whom to add and what is known of them: what was seen is what is done."""
        return sha256(repr([(p.name, p.about) for p in self.those(NEW)]).encode()).hexdigest()

    def _offer_columns(self, read: Roster) -> None:
        names = enumerate(read.column_names())
        self.fields["column"].choices = [("", "found by itself"), *((str(n), w) for n, w in names)]

    def _sorted_out(self, lines: list[Line]) -> list["Person"]:
        """Who is new, who is there, and who is refused and why; each once."""
        names = self._model.objects.values_list("pk", self._name.name)
        there = {name.casefold(): (pk, name) for pk, name in names}
        people: dict[str, Person] = {}
        lines_of: dict[str, Line] = {}  # by the name in small letters
        refused = []
        for line in lines:
            name = User.normalize_username(line.name)
            pk, as_there = there.get(name.casefold(), (None, ""))
            why = line.why_not or self._wrong_with(name, line.person)
            if not (why or as_there):
                why = _twice(lines_of.setdefault(name.casefold(), line), line)
            if why:
                refused.append(Person(line.number, name, REFUSED, why))
            elif as_there == name:
                people.setdefault(name, Person(line.number, name, THERE, key=pk))
            elif as_there:
                why = f"It differs only in capitals from {as_there}, who is there."
                refused.append(Person(line.number, name, REFUSED, why))
            else:
                people.setdefault(name, Person(line.number, name, NEW, about=line.person))
        return [*people.values(), *refused]

    def _is_name(self, name: str) -> bool:
        return bool(name) and not self._wrong_with(name, {})

    def _wrong_with(self, name: str, about: dict[str, str]) -> str:
        """Why it cannot be added; "" if it can."""
        one = self._model(**{self._name.name: name}, **(about if self._model is User else {}))
        try:
            one.clean_fields(exclude=self._not_filled)
            one.clean()
        except ValidationError as error:
            return " ".join(error.messages)
        return ""


def _twice(first: Line, line: Line) -> str:
    """Why a name cannot be another person's too; the same line again is no harm."""
    if (first.name, first.person) == (line.name, line.person):
        return ""
    if first.name == line.name:
        return f"Line {first.number} has the same name, and is not the same otherwise."
    return f"It differs only in capitals from {first.name} in line {first.number}."
