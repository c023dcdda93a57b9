"""The Django project: settings, URLs, ASGI entry point, Celery and the embedded runtime."""
