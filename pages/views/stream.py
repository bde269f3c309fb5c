"""A job's events for its page: the API's stream, for who is logged in."""

import contextlib

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import View

from foundation.problems import NotFound, Problem, document_of, plain_response
from jobs.api.v1.events import EventId, stream
from jobs.api.v1.users import own_job_of
from jobs.models import Job
from pages import sessions


class JobEvents(View):
    """`/jobs/ID/events`. It runs on the hub: nothing in it takes long."""

    def get(self, request: HttpRequest, job_id: int) -> HttpResponseBase:
        user = sessions.user_of(request)
        if user is None:
            return HttpResponse(status=403)

        def look() -> Job | None:
            with contextlib.suppress(NotFound):
                return own_job_of(user, job_id) if sessions.user_of(request) == user else None

        # A page that opens a stream anew says where the one before ended.
        known = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
        try:
            return stream(request, own_job_of(user, job_id), EventId.parse(known), look)
        except Problem as error:
            return plain_response(document_of(error), **error.headers)
