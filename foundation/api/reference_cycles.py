"""Undoes the reference cycles of view, request and answer that both frameworks make.

Otherwise what a body became, twenty times its length for some, would stay in memory until
Python's next full collection, which is seldom: a server process kept 200 MiB of parsed JSON.
`tests/test_api_users.py` holds that nothing stays.
"""

from typing import Any

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


def undo_those_of_answer(answer: HttpResponseBase) -> None:
    """The answer lets go of its view and request once it is rendered."""
    if isinstance(answer, Response):
        answer.add_post_render_callback(lambda rendered: rendered.renderer_context.clear())


def undo_those_of_view(view: APIView) -> None:
    """The view, which serves one request, keeps nothing of it."""
    request: Any = getattr(view, "request", None)
    if isinstance(request, Request):
        request.parser_context.clear()
    vars(view).clear()
