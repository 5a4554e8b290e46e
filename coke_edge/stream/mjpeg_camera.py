"""Motion JPEG over HTTP: what network cameras and many small servers speak."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
from functools import partial
from typing import BinaryIO, cast
from urllib.parse import SplitResult, unquote

import numpy as np

from coke_edge.errors import StreamError
from coke_edge.stream.camera import Image, Shot
from coke_edge.stream.images import decode, is_cut_jpeg
from coke_edge.stream.multipart import MultipartReader
from coke_edge.stream.pixels import to_bgr


class MjpegCamera:
    """A GET request whose answer, multipart/x-mixed-replace, never ends.

    Name and password stand in the address, as in http://user:password@host/video (HTTP's basic scheme).
    No proxy is asked: a camera is on the spot.
    """

    def __init__(self, url: SplitResult, shown: str, timeout: float) -> None:
        """`shown` is the address for errors, without its password.

        Raises StreamError if the camera does not answer within `timeout` seconds, or with something else."""
        self._timeout = timeout
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._where = shown
        self._connection = kind(url.hostname or "", url.port, timeout=timeout)
        try:
            self._socket, self._reader = self._open(url)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, url: SplitResult) -> tuple[socket.socket, MultipartReader]:
        try:
            self._connection.connect()
            found = self._connection.sock  # the connection forgets it once the answer has begun
            self._connection.request("GET", target(url), headers=headers(url))
            answer = self._connection.getresponse()
        except TimeoutError:
            raise StreamError(f"{self._where} does not answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise StreamError(f"{self._where} cannot be reached: {error or type(error).__name__}") from None
        if answer.status != http.client.OK:
            raise StreamError(f"{self._where} answers {answer.status} {answer.reason}; is the address right?")
        boundary = answer.headers.get_boundary()
        if answer.headers.get_content_maintype() != "multipart" or not boundary:
            raise StreamError(
                f"{self._where} sends {answer.headers.get_content_type()}, not multipart/x-mixed-replace; "
                "give the camera's address for motion JPEG"
            )
        return found, MultipartReader(cast(BinaryIO, answer), boundary)

    def read(self) -> Shot | None:
        """Wait for the next frame. Raises StreamError if the stream breaks off or falls silent."""
        try:
            part = self._reader.read()
        except TimeoutError:
            raise StreamError(f"{self._where} sent nothing for {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StreamError(f"{self._where} broke off: {error or type(error).__name__}") from None
        return None if part is None else partial(decode_frame, part)

    def interrupt(self) -> None:
        """Shut the socket, which ends a waiting read."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self.interrupt()
        self._connection.close()
        self._socket.close()


def target(url: SplitResult) -> str:
    """Path and query of the request."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def headers(url: SplitResult) -> dict[str, str]:
    """The request's headers, with the name and password of the address."""
    plain = {"Accept": "multipart/x-mixed-replace, image/jpeg", "User-Agent": "coke-edge"}
    if url.username is None:
        return plain
    secret = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return plain | {"Authorization": f"Basic {base64.b64encode(secret).decode()}"}


def decode_frame(data: bytes) -> Image | None:
    """An encoded picture, upright; None if it is damaged."""
    image = decode(data) if data and not is_cut_jpeg(data) else None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    return to_bgr(image)
