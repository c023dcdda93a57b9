"""The HTTP data plane: OpenAI's and Anthropic's surfaces in front of the metering hook.

Importing it sets Django up where the gateway is a process of its own (`uvicorn allocations.gateway.app:application`);
inside the web process that has happened before.
"""

import os

import django
from django.apps import apps

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
