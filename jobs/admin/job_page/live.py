"""A job's events for its page in the admin: the API's stream, for staff who may see jobs."""

import time
from copy import copy
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import View

from foundation.database.statements import Parameter, Select
from foundation.problems import Problem, document_of, plain_response
from foundation.serving.greenlets import in_a_thread
from jobs.api.v1.events import EventId, stream
from jobs.models import Job

CHECKED_SECONDS = 5.0  # so long goes a stream on after its reader has logged out

_JOB = Select(Job.objects.filter(pk=Parameter("job")).without_texts().order_by())
_MAX_ID = 2**63 - 1
_LET_IN = 204


class JobEvents(View):
    """`/admin/jobs/job/ID/events`. It runs on the hub: a session and rights are looked up in a
    native thread, and what remains takes no time."""

    admin: Any = None  # JobAdmin, which says who may see jobs

    def get(self, request: HttpRequest, job_id: int) -> HttpResponseBase:
        """The stream; 403 for who may not see it, 404 for a job that is not there."""
        if not in_a_thread(self._may_see, request):
            return HttpResponse(status=403)
        checked_at = time.monotonic()

        def look() -> Job | None:
            nonlocal checked_at
            if time.monotonic() - checked_at >= CHECKED_SECONDS:
                if not in_a_thread(self._may_see_still, request):
                    return None
                checked_at = time.monotonic()
            return _JOB.first(job=job.pk)

        known = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
        job = _JOB.first(job=min(job_id, _MAX_ID))
        if job is None:
            return HttpResponse(status=404)
        try:
            return stream(request, job, EventId.parse(known), look, request.user.pk)
        except Problem as error:
            return plain_response(document_of(error), **error.headers)

    def _may_see(self, request: HttpRequest) -> bool:
        """Whether the request would be let in to a page of a job: by the site's own guards."""
        return self.admin.admin_site.admin_view(self._seen)(request).status_code == _LET_IN

    def _seen(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=_LET_IN if self.admin.has_view_permission(request) else 403)

    def _may_see_still(self, request: HttpRequest) -> bool:
        """The same, with the session and the user as they are now."""
        again = copy(request)
        engine = import_module(settings.SESSION_ENGINE)
        again.session = engine.SessionStore(request.session.session_key)
        again.user = get_user(again)
        return self._may_see(again)
