"""PostgreSQL, Valkey and the Stripe sandbox on one machine without installing any of them: for development, tests and
the demo. Production settings never import this package."""

from millrace.embedded.errors import EmbeddedError
from millrace.embedded.services import Services, ensure_services, services_for, stop_services

__all__ = ["EmbeddedError", "Services", "ensure_services", "services_for", "stop_services"]
