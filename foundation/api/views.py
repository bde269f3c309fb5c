"""The base of the API's views."""

from typing import Any

from rest_framework.views import APIView

from foundation.api import reference_cycles
from foundation.serving import waiting


class ApiView(APIView):
    """Any address of the API: a few requests at work at a time, and nothing kept after each."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with waiting.at_work():
                response = super().dispatch(request, *args, **kwargs)
            reference_cycles.undo_those_of_answer(response)
            return response
        finally:
            reference_cycles.undo_those_of_view(self)
