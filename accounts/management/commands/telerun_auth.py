"""`manage.py telerun_auth`, also `python3 -m submission_queue.auth`: users and executors."""

import argparse
import json
import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from accounts import failures, login_codes, operations, purging, second_factor
from accounts.models import Executor, User
from accounts.public_address import PublicAddress, public_address
from accounts.roles import Role
from foundation.commands import TelerunCommand

ACTOR = "command"  # who the audit log says did it
MAX_DAYS = 366  # that a log-in code is valid


class Command(TelerunCommand):
    """One subcommand an operation. Tokens go to standard output, once."""

    help = "Administer users and executors and their tokens."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, (_, about, takes_name) in COMMANDS.items():
            command = commands.add_parser(name, help=about, description=about)
            if takes_name:
                command.add_argument("name", metavar="NAME")
            if name == "purge-user":
                command.add_argument("--yes", action="store_true", help="do not ask for the name")
            if name in GIVE_CODES:
                _add_code_arguments(command, is_choice=name == "create-user")
            if name == "create-staff":
                command.add_argument(
                    "--role",
                    choices=Role.values,
                    default=Role.OWNER.value,
                    help="what they may do (default: %(default)s)",
                )

    def run(self, **options: Any) -> str:
        function, _, takes_name = COMMANDS[options["command"]]
        try:
            if options["command"] == "purge-user":
                return purge_user(options)
            if options["command"] == "login-code" or options.get("code"):
                return GIVE_CODES[options["command"]](options)
            if "role" in options:
                return create_staff(options["name"], Role(options["role"]))
            return function(options["name"]) if takes_name else function()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except purging.Unfinished as error:
            raise CommandError(str(error)) from error


def _add_code_arguments(command: argparse.ArgumentParser, is_choice: bool) -> None:
    if is_choice:
        command.add_argument(
            "--code", action="store_true", help="print a log-in code instead of a token"
        )
    command.add_argument(
        "--days",
        type=_days,
        default=settings.TELERUN_LOGIN_CODE_DAYS,
        metavar="N",
        help="how long the log-in code is valid (default: %(default)s)",
    )
    command.add_argument(
        "--server",
        default="",
        metavar="URL",
        help="the queue's address for students (default: TELERUN_PUBLIC_URL, "
        "or the first name in the certificate)",
    )


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_DAYS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 1 to {MAX_DAYS}")
    return int(text)


def login_code(options: dict[str, Any]) -> str:
    user, address = _user(options["name"]), public_address(options["server"])
    code = login_codes.make(user, ACTOR, address, options["days"])
    return _with_code(f"Made user {user}", address, options["days"], code)


def create_user_with_code(options: dict[str, Any]) -> str:
    _refuse_a_taken_name(options["name"], "login-code {} gives a log-in code.")
    address = public_address(options["server"])
    user, code = operations.create_user_with_code(options["name"], ACTOR, address, options["days"])
    return _with_code(f"Created user {user} with", address, options["days"], code)


def _with_code(done: str, address: PublicAddress, days: int, code: str) -> str:
    return f"{done} a log-in code for https://{address.address}, valid {days} days: {code}"


def _refuse_a_taken_name(name: str, instead: str) -> None:
    if User.objects.filter(username=name).exists():
        raise CommandError(f"There is a user {name!r} already; {instead.format(name)}")


def create_user(name: str) -> str:
    _refuse_a_taken_name(name, "reset-user-token {} gives a new token.")
    _, token = operations.create_user(name, ACTOR)
    return f"Created user {name} with token {token}"


def create_executor(name: str) -> str:
    if Executor.objects.filter(name=name).exists():
        raise CommandError(
            f"There is an executor {name!r} already; reset-executor-token {name} gives a new token."
        )
    _, token = operations.create_executor(name, ACTOR)
    return f"Created executor {name} with token {token}"


def create_staff(name: str, role: Role = Role.OWNER) -> str:
    if User.objects.filter(username=name).exists():
        raise CommandError(f"There is a user {name!r} already; choose another name.")
    _, password = operations.create_staff(name, ACTOR, role)
    return f"Created staff account {name} ({role.label}) with password {password}"


def reset_second_factor(name: str) -> str:
    if second_factor.remove(_user(name), ACTOR):
        return f"Removed the second factor of {name}: the password alone is enough now"
    return f"{name} has no second factor"


def reset_user_token(name: str) -> str:
    return f"Reset user {name} with token {operations.issue_token(_user(name), ACTOR)}"


def reset_executor_token(name: str) -> str:
    return f"Reset executor {name} with token {operations.issue_token(_executor(name), ACTOR)}"


def revoke_user_token(name: str) -> str:
    operations.revoke_token(_user(name), ACTOR)
    return f"Revoked the token of user {name}"


def revoke_executor_token(name: str) -> str:
    operations.revoke_token(_executor(name), ACTOR)
    return f"Revoked the token of executor {name}"


def enable_executor(name: str) -> str:
    operations.set_enabled(_executor(name), True, ACTOR)
    return f"Enabled executor {name}"


def disable_executor(name: str) -> str:
    operations.set_enabled(_executor(name), False, ACTOR)
    return f"Disabled executor {name}: it gets no more jobs; what it runs now may finish"


def delete_user(name: str) -> str:
    operations.delete(_user(name), ACTOR)
    return f"Deleted user {name} and their jobs; the audit log keeps every submission"


def purge_user(options: dict[str, Any]) -> str:
    name = options["name"]
    if not options["yes"]:
        asked = f"Forget {name} for good, under a pseudonym? Type the name: "
        if not sys.stdin.isatty() or input(asked) != name:
            raise CommandError("Nothing was changed. A script says --yes.")
    purged = purging.purge.get()(name, ACTOR)
    return "\n".join([purged.words, *purged.notes])


def delete_executor(name: str) -> str:
    operations.delete(_executor(name), ACTOR)
    return f"Deleted executor {name}"


def list_users() -> str:
    return json.dumps(list(User.objects.order_by("username").values_list("username", flat=True)))


def list_executors() -> str:
    return json.dumps(list(Executor.objects.values_list("name", flat=True)))


def _user(name: str) -> User:
    try:
        return User.objects.get(username=name)
    except User.DoesNotExist:
        raise CommandError(f"There is no user {name!r}; list-users shows who there is.") from None


def _executor(name: str) -> Executor:
    try:
        return Executor.objects.get(name=name)
    except Executor.DoesNotExist:
        raise CommandError(
            f"There is no executor {name!r}; list-executors shows which there are."
        ) from None


def forget_failures() -> str:
    failures.forget_all()
    return "Forgot all failed log-ins and wrong tokens: everyone may try again"


# What prints a log-in code, given all options.
GIVE_CODES = {"login-code": login_code, "create-user": create_user_with_code}

# name: (function, what it does, whether it takes a NAME)
COMMANDS: dict[str, tuple[Any, str, bool]] = {
    "create-user": (create_user, "Create a student's account; prints its token, once.", True),
    "login-code": (login_code, "Make a user a log-in code, for submit.py --login.", True),
    "create-executor": (create_executor, "Create an executor; prints its token, once.", True),
    "create-staff": (
        create_staff,
        "Create an account for the admin site; prints its password, once.",
        True,
    ),
    "reset-second-factor": (
        reset_second_factor,
        "Remove the second factor of a member of staff, who has lost it.",
        True,
    ),
    "reset-user-token": (reset_user_token, "Replace a user's token; prints the new one.", True),
    "reset-executor-token": (
        reset_executor_token,
        "Replace an executor's token; prints the new one.",
        True,
    ),
    "revoke-user-token": (revoke_user_token, "Take a user's token away.", True),
    "revoke-executor-token": (revoke_executor_token, "Take an executor's token away.", True),
    "enable-executor": (enable_executor, "Put an executor back into service.", True),
    "disable-executor": (disable_executor, "Give an executor no more jobs.", True),
    "delete-user": (delete_user, "Delete a user and their jobs.", True),
    "purge-user": (
        purge_user,
        "Forget a person: name, programs, output, addresses. Their jobs' times and outcomes stay.",
        True,
    ),
    "delete-executor": (delete_executor, "Delete an executor.", True),
    "forget-failures": (forget_failures, "Let everyone log in again at once.", False),
    "list-users": (list_users, "Print all user names, a JSON array.", False),
    "list-executors": (list_executors, "Print all executor names, a JSON array.", False),
}
