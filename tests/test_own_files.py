"""Which files --out DIR may replace: those that it saved there, as they were saved."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")


def save(folder: Path, name: str, content: bytes, force: bool = False) -> str:
    """As a run with --out does it."""
    own = submit.OwnFiles(folder, force)
    return submit.save(submit.Answer(200, {}, content), folder / name, own)


def refused(folder: Path, name: str, content: bytes, **options: Any) -> None:
    hint = "" if options else "; --force replaces it"
    with pytest.raises(submit.Stop, match=f"is left as it is{hint}.$"):
        save(folder, name, content, **options)


def test_the_last_runs_are_replaced(tmp_path: Path) -> None:
    assert save(tmp_path / "res", "a", b"one") == f"Saved {tmp_path}/res/a (3 bytes)."
    told = save(tmp_path / "res", "a", b"another")
    assert told == f"Saved {tmp_path}/res/a (7 bytes), in place of the last run's."
    assert save(tmp_path / "res", "a", b"another") == f"{tmp_path}/res/a is there already."
    assert (tmp_path / "res/a").read_bytes() == b"another"
    assert {path.name for path in (tmp_path / "res").iterdir()} == {"a", submit.RECORD}


def test_others_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    refused(tmp_path, "a", b"one")
    save(tmp_path, "b", b"one")
    (tmp_path / "b").write_bytes(b"changed by me")
    refused(tmp_path, "b", b"two")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (
        b"mine",
        b"changed by me",
    )
    save(tmp_path, "a", b"one", force=True)
    assert (tmp_path / "a").read_bytes() == b"one"
    save(tmp_path, "a", b"two")  # it is ours from now on


@pytest.mark.parametrize(
    "record", [b"", b"x", b"[]", b"{}", b'{"files": 5}', b'{"files": {"a": 5}}', b"\xff", None]
)
def test_a_record_that_is_none_lets_nothing_be_replaced(
    tmp_path: Path, record: bytes | None
) -> None:
    """And is left as it is: somebody may have written it. None: a folder."""
    place = tmp_path / submit.RECORD
    if record is None:
        place.mkdir()
    else:
        place.write_bytes(record)
    (tmp_path / "a").write_bytes(b"mine")
    refused(tmp_path, "a", b"one")
    save(tmp_path, "b", b"one")
    assert (tmp_path / "a").read_bytes() == b"mine"
    if record is None:
        assert place.is_dir()
    elif b"files" not in record or b"5}}" not in record:
        assert place.read_bytes() == record


def test_links_and_folders_stay(tmp_path: Path) -> None:
    save(tmp_path, "a", b"one")
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    (tmp_path / "a").symlink_to("elsewhere")
    refused(tmp_path, "a", b"two")
    assert (tmp_path / "elsewhere").read_bytes() == b"one"
    (tmp_path / "folder").mkdir()
    refused(tmp_path, "folder", b"x")
    refused(tmp_path, "folder", b"x", force=True)


def test_names_that_lead_out_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "res").mkdir()
    (tmp_path / "above").write_bytes(b"x")
    digest = submit.digest(b"x")
    (tmp_path / "res" / submit.RECORD).write_text(
        f'{{"files": {{"../above": "{digest}", "gone": "{digest}"}}}}'
    )
    assert submit.OwnFiles(tmp_path / "res", False).left_over() == []


def test_a_programs_file_does_not_pass_for_the_record() -> None:
    names = submit.names_on_disk({"files": [{"name": ".telerun"}, {"name": ".TELERUN"}]})
    assert [name for _, name in names] == ["-2.telerun", "-3.TELERUN"]
