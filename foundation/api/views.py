"""The base of the API's views."""

from typing import Any

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from foundation.api import reference_cycles
from foundation.problems import TooMuchAtOnce
from foundation.serving.greenlets import in_a_thread
from foundation.serving.memory import Bearer, answers, bearer

LARGE_BYTES = 128 * 1024  # what takes longer to write as JSON than to hand to another thread


class LargeAnswer(Response):
    """One whose JSON is written beside the hub, and has at most so many bytes."""

    maximum = 0
    taken = 0  # of its bearer's budget, until it is closed
    whose: Bearer = ("", 0)

    def close(self) -> None:
        super().close()
        taken, self.taken = self.taken, 0
        if taken:
            answers.give_back(self.whose, taken)


class ApiView(APIView):
    """Any address of the API: its large answers are counted, and nothing is kept after each."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            response = super().dispatch(request, *args, **kwargs)
            reference_cycles.undo_those_of_answer(response)
            if isinstance(response, LargeAnswer):
                response = self._counted(response, request)
            return response
        finally:
            reference_cycles.undo_those_of_view(self)

    def _counted(self, response: LargeAnswer, request: Any) -> HttpResponseBase:
        """The answer, rendered; until the client has taken it, it is in its bearer's budget.

        A slow client would otherwise cost the memory of an answer for each of its connections.
        """
        whose = bearer(self.request.user)
        try:
            answers.take(whose, response.maximum)
        except TooMuchAtOnce as error:
            return self._refusal(error, request)
        try:
            in_a_thread(response.render)
            size = min(len(response.content), response.maximum)
        except BaseException:
            answers.give_back(whose, response.maximum)
            raise
        answers.give_back(whose, response.maximum - size)
        response.whose, response.taken = whose, size
        return response

    def _refusal(self, error: TooMuchAtOnce, request: Request) -> Response:
        refusal = self.finalize_response(request, self.handle_exception(error))
        reference_cycles.undo_those_of_answer(refusal)
        return refusal
