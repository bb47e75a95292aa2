"""Connections with limits of time, which uvicorn lacks: for headers, and for slow readers.

A body that arrives after its answer is thrown away for a while, so that a client which still sends
can read why it was refused, and is cut off then. HTTP is parsed by h11, which bounds headers.
"""

import asyncio
import os
import socket
from functools import partial
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from .admission import AdmissionSettings


class TimedProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self, settings: AdmissionSettings, config: uvicorn.Config, server_state: Any,
        app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, _loop)
        self.settings = settings
        self.arriving: asyncio.TimerHandle | None = None
        self.leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        """Wait for headers."""
        super().connection_made(transport)
        self._limit_arrival()
        link = transport.get_extra_info("socket")
        if link and hasattr(socket, "TCP_USER_TIMEOUT"):  # what is left unread after an answer
            milliseconds = round(self.settings.reader_seconds * 1000)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def data_received(self, data: bytes) -> None:
        """Read some more."""
        super().data_received(data)
        self._limit_arrival()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one."""
        super().on_response_complete()
        if self.conn.our_state is h11.DONE:
            self._limit_arrival()

    def _limit_arrival(self) -> None:
        """Give time to headers and to what follows an answer; bodies have theirs in admission."""
        is_answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is h11.IDLE or is_answered:
            if self.arriving is None:
                seconds = self.settings.header_seconds
                self.arriving = self.loop.call_later(seconds, self.transport.abort)
        elif self.arriving is not None:
            self.arriving.cancel()
            self.arriving = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; after an answer there is nothing more to say."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Give a reader time to take what was sent."""
        super().pause_writing()
        self.leaving = self.loop.call_later(self.settings.reader_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Send on."""
        super().resume_writing()
        if self.leaving is not None:
            self.leaving.cancel()


class WebServer(uvicorn.Server):
    """uvicorn with such connections: one signal lets answers end, a second one ends at once."""

    def __init__(
        self, app: ASGIApp, settings: AdmissionSettings, drain_seconds: float = 30.0
    ) -> None:
        options = uvicorn.Config(
            app, http=partial(TimedProtocol, settings),  # pyright: ignore
            ws="none", lifespan="on", log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=round(drain_seconds), timeout_keep_alive=75,
            h11_max_incomplete_event_size=65_536,
        )  # fmt: skip
        super().__init__(options)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM and SIGINT; uvicorn's own would end the process by the signal."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
