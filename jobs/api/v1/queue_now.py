"""`/queue`: how the queue is, for anyone who has a token. It names nobody."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import UserView
from foundation.api.description import answer, extend_schema
from jobs import outlook
from jobs.api.v1 import answers


class QueueNow(UserView):
    """`/queue`."""

    @extend_schema(
        operation_id="get_queue",
        summary="How the queue is: what waits and runs, and which hosts are there.",
        responses={200: answer("As it was up to a second ago.", answers.QueueAnswer)},
    )
    def get(self, request: Request) -> Response:
        return Response(document())


def document() -> answers.QueueAnswer:
    """The queue as it was up to a second ago. Raises DatabaseError."""
    now = outlook.current().whole()
    return {
        # What staff say of the course comes from `courses`, once they can pause and announce.
        "accepting": True,
        "starting": True,
        "message": "",
        "queued": now.queued,
        "running": now.running,
        "platforms": [platform._asdict() for platform in now.platforms],
        "announcements": [],
    }
