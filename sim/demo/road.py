"""The road between the gateway and the province's broker: a TCP relay on loopback that can be cut and mended.

Cut, it refuses every connection and what was on the way is gone, while the broker and the province at its far end
live on, as when a landslide takes the fibre. One thread of its own; real time only.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
LOOK_S = 0.05  # how soon a cut is carried out


class Road:
    """Leads from `port` to `far_port`. Open when made; `close()` ends it."""

    def __init__(self, far_port: int) -> None:
        self._far_port = far_port
        self._listener: socket.socket | None = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._ways: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="road", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """From now on nothing passes and nobody can connect."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for end in self._ways:
                end.close()
            self._ways.clear()

    def mend(self) -> None:
        """Open again, on the same port."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server((HOST, self.port))

    def close(self) -> None:
        self.cut()
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            with selectors.DefaultSelector() as selector:
                with self._lock:
                    for end in [*([self._listener] if self._listener else []), *self._ways]:
                        selector.register(end, selectors.EVENT_READ)
                if not selector.get_map():
                    self._over.wait(LOOK_S)
                    continue
                ready = [key.fileobj for key, _ in selector.select(LOOK_S)]
            with self._lock:
                for found in ready:
                    if isinstance(found, socket.socket) and found.fileno() >= 0:
                        self._serve(found)

    def _serve(self, end: socket.socket) -> None:
        if end is self._listener:
            self._connect(end.accept()[0])
        elif end in self._ways:
            other = self._ways[end]
            try:
                data = end.recv(CHUNK_BYTES)
                other.sendall(data)
            except OSError:
                data = b""
            if not data:
                self._hang_up(end, other)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection((HOST, self._far_port))
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ways.update({near: far, far: near})

    def _hang_up(self, *ends: socket.socket) -> None:
        for end in ends:
            del self._ways[end]
            with contextlib.suppress(OSError):
                end.close()
