"""`GET /healthz`: 200 when this server can serve, for load balancers and humans."""

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe


@csrf_exempt
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Asks the database for one row; a database that is away becomes 503 (problems.py)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
