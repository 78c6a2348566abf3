# SPDX-License-Identifier: MIT
"""Django: sync and async views, streaming; WebSocket by channels. It speaks no lifespan."""

from __future__ import annotations

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a test",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)
django.setup()

from channels.generic.websocket import WebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def hello(request):
    return JsonResponse({"hello": request.GET["name"], "started": True})


async def echo(request):
    return JsonResponse({"size": len(request.body)})


async def stream(request):
    async def parts():
        for part in ("one ", "two ", "three"):
            yield part

    return StreamingHttpResponse(parts(), content_type="text/plain")


class Socket(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data.upper())


urlpatterns = [path("hello", hello), path("echo", echo), path("stream", stream)]

app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws", Socket.as_asgi())]),
    }
)
