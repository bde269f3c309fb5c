"""Executors' GPUs are rows, made from what executors report, whatever that is."""

from typing import Any

import pytest

from accounts import executors
from accounts.models import Executor, Gpu

pytestmark = pytest.mark.django_db
H100 = {"index": "0", "uuid": "GPU-a", "name": "H100", "architecture": "sm_90", "driver": "580.1"}


def report(executor: Executor, *gpus: Any) -> None:
    executor.refresh_from_db()
    executors.seen(executor, {"gpus": list(gpus)})


def rows(executor: Executor) -> list[tuple[str, str]]:
    return [(gpu.uuid, gpu.condition) for gpu in executor.gpus.all()]


def test_a_report_makes_rows_and_a_later_one_changes_them(gpu1: Executor, gpu2: Executor) -> None:
    report(gpu1, {**H100, "condition": "ready"}, {"uuid": "GPU-b", "condition": "ready"})
    report(gpu2, {**H100, "condition": "ready"})
    first = gpu1.gpus.get(uuid="GPU-a")
    assert {name: getattr(first, name) for name in H100} == H100
    report(gpu1, {"uuid": "GPU-c"}, {**H100, "condition": "quarantined", "reason": "Xid 79"})
    assert rows(gpu1) == [("GPU-c", ""), ("GPU-a", "quarantined")]
    assert gpu1.gpus.get(uuid="GPU-a").pk == first.pk
    assert rows(gpu2) == [("GPU-a", "ready")]
    assert [gpu.reason for gpu in gpu1.quarantined_gpus] == ["Xid 79"]


def test_the_same_report_again_writes_nothing(
    gpu1: Executor, django_assert_num_queries: Any
) -> None:
    report(gpu1, H100)
    gpu1.refresh_from_db()
    with django_assert_num_queries(0):
        executors.seen(gpu1, {"gpus": [H100]})


def test_two_requests_that_knew_the_same_report_leave_rows_and_report_alike(gpu1: Executor) -> None:
    report(gpu1, H100)
    first, second = Executor.objects.get(), Executor.objects.get()
    executors.seen(first, {"gpus": [{"uuid": "GPU-b"}]})
    executors.seen(second, {"gpus": [H100], "nvcc": "13.0"})  # as when it was authenticated
    assert [gpu.uuid for gpu in gpu1.gpus.all()] == ["GPU-a"]
    assert Executor.objects.get().about == {"gpus": [H100], "nvcc": "13.0"}


def test_a_report_never_overwrites_what_staff_set(gpu1: Executor) -> None:
    Executor.objects.update(enabled=False)
    report(gpu1, {**H100, "enabled": True})
    gpu1.refresh_from_db()
    assert gpu1.enabled is False


def test_a_report_without_gpus_leaves_none(gpu1: Executor) -> None:
    report(gpu1, H100)
    gpu1.refresh_from_db()
    executors.seen(gpu1, {"nvcc": "13.0"})
    assert not Gpu.objects.exists()


@pytest.mark.parametrize(
    ("gpus", "uuids"),
    [
        (5, []),
        ("H100", []),
        ({"uuid": "GPU-a"}, []),
        ([None, "a", 7, ["x"]], []),
        ([{}, {"uuid": ""}], ["number 0", "number 1"]),
        ([H100, H100], ["GPU-a"]),
        ([{"uuid": {"a": 1}}], ["{'a': 1}"]),
        ([{"uuid": "u" * 5000, "reason": "r" * 5000, "since": 12}], ["u" * 100]),
        ([{"uuid": f"GPU-{n}"} for n in range(200)], [f"GPU-{n}" for n in range(64)]),
    ],
)
def test_whatever_is_reported(gpu1: Executor, gpus: Any, uuids: list[str]) -> None:
    executors.seen(gpu1, {"gpus": gpus})
    assert [gpu.uuid for gpu in gpu1.gpus.all()] == uuids
