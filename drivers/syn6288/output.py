"""One speech module. A `contract.Output`: on speaks the text once, off stops it.

That the module has taken a frame is known; that anybody hears it is not, so it is not read back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from drivers.syn6288 import wire
from edge.contract import OpenPort, Port, PortSettings, Switched
from edge.errors import PortLost

ANSWER_S = 0.5  # a frame of 206 bytes takes 0.21 s at 9600 baud, and it is answered when it is whole


class Speech:
    """One output."""

    hold_s: float | None = None  # a text ends by itself; nothing repeats it without us
    readable = False

    def __init__(self, port: PortSettings, open_port: OpenPort) -> None:
        self._settings = port
        self._open_port = open_port
        self._port: Port | None = None
        self._counts = dict.fromkeys(("orders", "taken", "refused", "silent"), 0)

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        self._counts["orders"] += 1
        data = wire.speak(text) if on else wire.stop()
        try:
            taken = await self._say(data)
        except PortLost as error:
            self._close()
            return Switched(None, str(error))
        if taken:
            self._counts["taken"] += 1
            return Switched(on)
        self._counts["silent" if taken is None else "refused"] += 1
        if taken is None:
            return Switched(None, "the speech module does not answer: its power, TX and RX crossed, 9600 baud?")
        return Switched(None, "the speech module did not understand: a disturbed line?")

    async def read(self) -> Switched:
        return Switched(None, "not asked")

    def health(self) -> Mapping[str, Any]:
        return dict(self._counts)

    async def _say(self, data: bytes) -> bool | None:
        if self._port is None:
            self._port = await self._open_port(self._settings)
        port, heard = self._port, b""
        port.flush_input()
        await port.write(data)
        try:
            async with asyncio.timeout(len(data) * 10 / self._settings.baud + ANSWER_S):
                while wire.answer(heard) is None:
                    heard = (heard + await port.read())[-wire.TEXT_MOST_BYTES :]
        except TimeoutError:
            return None
        return wire.answer(heard)

    def _close(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None
