"""Addresses of the API, below `/api/v1/`."""

from django.urls import path

from jobs import views

urlpatterns = [
    path("jobs", views.Jobs.as_view(), name="jobs"),
    path("jobs/<int:job_id>", views.OneJob.as_view(), name="job"),
    path("jobs/<int:job_id>/cancel", views.CancelJob.as_view(), name="cancel-job"),
    path("claims", views.Claims.as_view(), name="claims"),
    path("attempts/<int:attempt_id>/heartbeat", views.AttemptHeartbeat.as_view(), name="heartbeat"),
    path("attempts/<int:attempt_id>/result", views.AttemptResult.as_view(), name="result"),
    path("attempts/<int:attempt_id>/release", views.AttemptRelease.as_view(), name="release"),
]
