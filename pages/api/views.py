"""The API's address for links to the pages."""

from datetime import datetime
from typing import Annotated, TypedDict

from django.urls import reverse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import UserView
from foundation.api.description import answer, extend_schema
from pages import links


class PageLinkAnswer(TypedDict):
    """A link that logs the user in to the pages, once."""

    url: Annotated[str, {"format": "uri"}]
    expires_at: datetime


class PageLinks(UserView):
    """`/page-links`."""

    @extend_schema(
        operation_id="make_page_link",
        summary="A link to the user's page, which logs a browser in, once, within a minute.",
        responses={201: answer("The link. The one before can be used no longer.", PageLinkAnswer)},
    )
    def post(self, request: Request) -> Response:
        secret, expires_at = links.make(request.user)
        url = f"{request.build_absolute_uri(reverse('page-link'))}#{secret}"
        document: PageLinkAnswer = {"url": url, "expires_at": expires_at}
        headers = {"Cache-Control": "no-store"}
        return Response(document, status.HTTP_201_CREATED, headers=headers)
