"""Addresses of the API, below `/api/v1/`."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from jobs import file_views, views


@csrf_exempt
@require_safe
def schema(_request: HttpRequest) -> HttpResponse:
    """The OpenAPI document, for everyone."""
    from jobs.schema import document  # nobody else needs the memory of what it imports

    return HttpResponse(document(), content_type="application/vnd.oai.openapi+json")


urlpatterns = [
    path("jobs", views.Jobs.as_view(), name="jobs"),
    path("jobs/<int:job_id>", views.OneJob.as_view(), name="job"),
    path("jobs/<int:job_id>/cancel", views.CancelJob.as_view(), name="cancel-job"),
    path("jobs/<int:job_id>/files/<str:name>", file_views.JobFile.as_view(), name="job-file"),
    path("executor", views.Self.as_view(), name="executor"),
    path("claims", views.Claims.as_view(), name="claims"),
    path("attempts/<int:attempt_id>/heartbeat", views.AttemptHeartbeat.as_view(), name="heartbeat"),
    path("attempts/<int:attempt_id>/result", views.AttemptResult.as_view(), name="result"),
    path(
        "attempts/<int:attempt_id>/files/<str:name>",
        file_views.AttemptFile.as_view(),
        name="attempt-file",
    ),
    path("attempts/<int:attempt_id>/release", views.AttemptRelease.as_view(), name="release"),
    path("schema", schema, name="schema"),
]
