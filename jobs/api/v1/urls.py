"""Addresses of jobs, below `/api/v1/`."""

from django.urls import path

from jobs.api.v1 import events, executors, files, live, queue_now, sources, users

urlpatterns = [
    path("queue", queue_now.QueueNow.as_view(), name="queue"),
    path("jobs", users.Jobs.as_view(), name="jobs"),
    path("jobs/<int:job_id>", users.OneJob.as_view(), name="job"),
    path("jobs/<int:job_id>/events", events.JobEvents.as_view(), name="job-events"),
    path("jobs/<int:job_id>/cancel", users.CancelJob.as_view(), name="cancel-job"),
    path("jobs/<int:job_id>/source", sources.JobSource.as_view(), name="job-source"),
    path("jobs/<int:job_id>/files/<str:name>", files.JobFile.as_view(), name="job-file"),
    path("claims", executors.Claims.as_view(), name="claims"),
    path(
        "attempts/<int:attempt_id>/heartbeat",
        executors.AttemptHeartbeat.as_view(),
        name="heartbeat",
    ),
    path("attempts/<int:attempt_id>/output", live.AttemptOutput.as_view(), name="output"),
    path("attempts/<int:attempt_id>/result", executors.AttemptResult.as_view(), name="result"),
    path("attempts/<int:attempt_id>/release", executors.AttemptRelease.as_view(), name="release"),
    path(
        "attempts/<int:attempt_id>/files/<str:name>",
        files.AttemptFile.as_view(),
        name="attempt-file",
    ),
]
