"""Is it alive, and can it serve? For load balancers and orchestrators."""

import logging

import redis
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from millrace.kernel import valkey

logger = logging.getLogger(__name__)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """The database and Valkey answer too; 503 with the one that does not."""
    checks = {"database": "ok", "valkey": "ok"}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("not ready: %s", error)
        checks["database"] = "unreachable"
    try:
        valkey.client().ping()
    except redis.RedisError as error:
        logger.warning("not ready: %s", error)
        checks["valkey"] = "unreachable"
    ready = set(checks.values()) == {"ok"}
    return JsonResponse({"status": "ok" if ready else "unavailable", **checks}, status=200 if ready else 503)
