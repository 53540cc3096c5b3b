"""A page to explore whose images the model itself decodes: served to this machine alone."""

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import numpy as np
import torch

from gmvae.data import Images
from gmvae.explore.document import page
from gmvae.gmvae import GMVAE

HOST = "127.0.0.1"
# Latents that may be asked for at once: more than a path has.
MOST_LATENTS = 64
# Bytes of a number of a latent or an image, both in single precision, little end first.
BYTES = 4


def server(model: GMVAE, images: Images, title: str | None = None) -> "Server":
    """A server of the page to explore, on a free port of 127.0.0.1: ``serve_forever`` serves it.

    Args:
        model: a trained model, of any size.
        images: as for :func:`~gmvae.explore.page`.
        title: likewise.

    Raises:
        ArgumentError: more than 64 latent dimensions.
        ContentError: images that do not fit the model.
        OSError: no port can be had.
    """
    return Server(model, page(model, images, title, served=True))


class Server(ThreadingHTTPServer):
    """It answers a page with latents decoded, and nobody but that page.

    ``GET /`` is the page; ``POST /decode`` takes n latents, float32 (n, D), and answers with their
    images, float32 (n, C, H, W) in [0, 1]. Nothing of the file system is served.

    Attributes:
        model: that decodes.
        page: HTML.
    """

    daemon_threads = True

    def __init__(self, model: GMVAE, page: str) -> None:
        self.model, self.page = model, page
        self._lock = Lock()
        super().__init__((HOST, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that has gone in the middle of an answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def address(self) -> str:
        """Its own, as a browser names it in ``Origin``."""
        return f"http://{HOST}:{self.server_port}"

    def decode(self, body: bytes) -> bytes:
        """The images of latents, as ``POST /decode`` takes and gives them.

        Raises:
            ValueError: they are none of this model.
        """
        z = np.frombuffer(body, "<f4").reshape(-1, self.model.config.latent_dim)
        with self._lock:  # Threads would only wait for each other's cores.
            images = self.model.decode(torch.from_numpy(z.copy()))
        return images.numpy().astype("<f4").tobytes()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    # The next image comes by the same connection, which ends when nothing is asked for a minute.
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if self._is_ours() and self.path == "/":
            self._answer("text/html; charset=utf-8", self.server.page.encode())
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        most = MOST_LATENTS * self.server.model.config.latent_dim * BYTES
        if not self._is_ours() or self.path != "/decode":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal() or not 0 < int(length) <= most:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            try:
                images = self.server.decode(self.rfile.read(int(length)))
            except ValueError:
                self._refuse(HTTPStatus.BAD_REQUEST)
            else:
                self._answer("application/octet-stream", images)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of what is asked: it would stand between the lines of the command."""

    def _is_ours(self) -> bool:
        """Whether it is the page that asks: no other one may, by whatever name it calls us."""
        own = self.server.address
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin", own)
        return f"http://{host}" == own == origin

    def _refuse(self, status: HTTPStatus) -> None:
        # What it sent has not been read.
        self.close_connection = True
        self._answer("text/plain", b"", status)

    def _answer(self, kind: str, content: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)
