"""The web's entry: ASGI, so that live progress does not hold a thread per watcher."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")
application = get_asgi_application()
