"""Who takes the course: names as rosters have them, short and long, of several scripts."""

from random import Random
from typing import NamedTuple

FIRST = (
    "Anna", "Ben", "Chloé", "Daniel", "Eva", "Felix", "Grace", "Hannah", "Ivan", "Julia", "Kofi",
    "Lena", "Mateo", "Nora", "Oluwaseun", "Paula", "Quentin", "Rosa", "Søren", "Tomás", "Ulrike",
    "Valentina", "Wojciech", "Xenia", "Yusuf", "Zoë", "Ana María", "Jean-Baptiste", "Đặng", "Aarav",
)  # fmt: skip
LAST = (
    "Abe", "Bauer", "Castro", "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Ivanova",
    "Jansen", "Kim", "Lopez", "Müller", "Nguyen", "Okafor", "Popescu", "Quispe", "Rossi", "Šimić",
    "Tanaka", "Urban", "Vogel", "Weber", "Xu", "Yildiz", "Zhang", "O'Brien", "van der Meer",
    "Ramírez de la Fuente", "Öztürk",
)  # fmt: skip
# Those who come first: whoever makes a page should see it with them.
UNUSUAL = (
    ("maximilian-alexander.von-hohenzollern-sigmaringen@students.example-university.edu",
     "Maximilian Alexander Konstantin", "von Hohenzollern-Sigmaringen und zu Guttenberg"),
    ("李小龍", "小龍", "李"),
    ("иван.кузнецов", "Иван", "Кузнецов"),
    ("محمد.الأحمد", "محمد", "الأحمد"),
    ("x", "X", "Æ"),
    ("δημήτρης", "Δημήτρης", "Παπαδόπουλος"),
)  # fmt: skip
STAFF = ("ta-mira", "ta-jonas", "prof.schäfer-lindqvist")


class Person(NamedTuple):
    """A line of the roster."""

    name: str
    first: str
    last: str

    @property
    def email(self) -> str:
        return self.name if "@" in self.name else f"student{abs(hash_of(self.name))}@example.edu"


def hash_of(text: str) -> int:
    """The same in each run, unlike Python's."""
    return sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 1_000_000


def roster(chance: Random, count: int) -> list[Person]:
    """So many students; of a few, some are unusual already."""
    people = [Person(*one) for one in UNUSUAL[: max(1, count // 8)]]
    while len(people) < count:
        first, last = chance.choice(FIRST), chance.choice(LAST)
        letters = "".join(c for c in f"{first[0]}{last}".lower() if c.isalnum())[:8]
        people.append(Person(f"{letters}{len(people):03}", first, last))
    return people
