"""Addresses of the pages."""

from django.urls import path

from pages.views import downloads, jobs, log_in, stream

urlpatterns = [
    path("", jobs.Start.as_view(), name="page"),
    path("login", log_in.LogIn.as_view(), name="page-login"),
    path("logout", log_in.LogOut.as_view(), name="page-logout"),
    path("link", log_in.FromLink.as_view(), name="page-link"),
    path("jobs", jobs.Jobs.as_view(), name="page-jobs"),
    path("jobs/<int:job_id>", jobs.OneJob.as_view(), name="page-job"),
    path("jobs/<int:job_id>/state", jobs.JobState.as_view(), name="page-job-state"),
    path("jobs/<int:job_id>/logs", jobs.JobLogs.as_view(), name="page-job-logs"),
    path("jobs/<int:job_id>/events", stream.JobEvents.as_view(), name="page-job-events"),
    path("jobs/<int:job_id>/cancel", jobs.Cancel.as_view(), name="page-cancel"),
    path("jobs/<int:job_id>/source", jobs.Source.as_view(), name="page-source"),
    path(
        "jobs/<int:job_id>/source/<path:name>",
        downloads.SourceFile.as_view(),
        name="page-source-file",
    ),
    path("jobs/<int:job_id>/files/<str:name>", downloads.JobFile.as_view(), name="page-file"),
    path(
        "jobs/<int:job_id>/attempts/<int:number>/<str:log>-log.txt",
        downloads.Log.as_view(),
        name="page-log",
    ),
]
