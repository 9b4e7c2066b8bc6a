"""A run in an object store that speaks S3. Needs the extra [s3].

Names in, bytes out, like the local disk (files.py), with a conditional put (`If-None-Match: *`) in
place of a link; a store that ignores the condition is refused before anything is written.
Credentials come from the standard chain and never from a URL.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from omnitrace.errors import CommandError, extra
from omnitrace.store.files import TEMPORARY, Entry
from omnitrace.text import one_line

READERS = 32
"""Requests at once: each takes some 30 ms."""
_TIMEOUT = timedelta(minutes=5)  # of one request: a shard of 256 MiB at 1 MiB a second
RETRIES: Any = {"max_retries": 8, "retry_timeout": timedelta(minutes=1)}
_URL = re.compile(r"s3:/{1,2}([^/@]+)(?:/(.*?))?/*")


def s3_url(path: str | os.PathLike[str]) -> str | None:
    """The `s3://bucket/prefix` that `path` is, also where a Path folded its slashes; else None.

    Raises CommandError for a URL that is not legal, one with credentials above all.
    """
    text = os.fspath(path)
    if not text.startswith("s3:/"):
        return None
    match = _URL.fullmatch(text)
    if not match or not match[2]:
        raise CommandError(
            "a run in an object store is s3://BUCKET/PREFIX, without credentials: these come from "
            "the environment (AWS_ACCESS_KEY_ID …) or the machine's role."
        )
    return f"s3://{match[1]}/{match[2]}"


class S3Files:
    """The objects below one `s3://bucket/prefix`."""

    readers = READERS

    def __init__(self, url: str) -> None:
        with extra("s3", "runs on S3 need"):
            from obstore.store import S3Store
        self._url = url
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        self._store: Any = S3Store.from_url(
            url,
            client_options={"timeout": _TIMEOUT, "allow_http": endpoint.startswith("http://")},
            retry_config=RETRIES,
        )
        self._is_probed = False

    def where(self, name: str) -> str:
        return f"{self._url}/{name}"

    def put(self, name: str, data: bytes) -> None:
        if not self._create(name, data):
            raise FileExistsError(errno.EEXIST, "there is such an object already", self.where(name))

    def sync(self) -> None:
        """Does nothing: an object is durable under its name once it is put."""

    def put_if_absent(self, name: str, data: bytes) -> bool:
        if not self._is_probed:
            self._probe()
        return self._create(name, data)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        import obstore

        end = None if length is None else start + length
        if end == start:
            return b""
        with self._requesting(name):
            try:
                part: Any = {"offset": start} if end is None else (start, end)
                options: Any = {"range": part} if start or end is not None else {}
                return bytes(obstore.get(self._store, name, options=options).bytes())
            except obstore.exceptions.GenericError as error:
                if "416 Range Not Satisfiable" not in str(error):
                    raise
                return b""  # the start is beyond the end, as on a disk

    def size(self, name: str) -> int:
        import obstore

        with self._requesting(name):
            return int(obstore.head(self._store, name)["size"])

    def names(self, folder: str = "") -> list[str]:
        import obstore

        with self._requesting(folder):
            listed = obstore.list_with_delimiter(self._store, folder or None)
        paths = [*listed["common_prefixes"], *(entry["path"] for entry in listed["objects"])]
        names = [str(path).rsplit("/", 1)[-1] for path in paths]
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def walk(self, folder: str = "") -> Iterator[Entry]:
        import obstore

        with self._requesting(folder):
            for page in obstore.list(self._store, folder or None):
                for entry in page:
                    modified = entry["last_modified"].timestamp()
                    yield Entry(str(entry["path"]), int(entry["size"]), modified)

    def now(self) -> float:
        import obstore

        name = f"{TEMPORARY}{uuid.uuid4()}"
        with self._requesting(name):
            try:
                obstore.put(self._store, name, b"")
                return float(obstore.head(self._store, name)["last_modified"].timestamp())
            finally:
                obstore.delete(self._store, name)

    def remove(self, name: str) -> None:
        import obstore

        with self._requesting(name):
            obstore.delete(self._store, name)

    def __reduce__(self) -> tuple[type[S3Files], tuple[str]]:
        return S3Files, (self._url,)

    def _create(self, name: str, data: bytes) -> bool:
        """Put an object unless there is one; False where there is."""
        import obstore

        with self._requesting(name):
            try:
                obstore.put(self._store, name, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def _probe(self) -> None:
        """Put one object twice: the store must refuse the second."""
        name = f"{TEMPORARY}{uuid.uuid4()}"
        try:
            self._create(name, b"probe")
            if self._create(name, b"probe"):
                raise CommandError(
                    f"the object store of {self._url} takes no notice of If-None-Match, by which "
                    "writers keep out of one another's way: record to a disk, or to another store."
                )
        finally:
            with suppress(OSError):
                self.remove(name)
        self._is_probed = True

    @contextmanager
    def _requesting(self, name: str) -> Iterator[None]:
        """Convert the store's errors into OSErrors, like those of a disk."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError as error:
            why = "no such bucket" if "NoSuchBucket" in str(error) else "no such object"
            raise FileNotFoundError(errno.ENOENT, why, self.where(name)) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise PermissionError(errno.EACCES, _why(error), self.where(name)) from error
        except BaseError as error:
            raise OSError(errno.EIO, _why(error), self.where(name)) from error


def _why(error: Exception) -> str:
    """The store's message, without the library's debug output and the server's XML."""
    text = str(error).split("\n\nDebug source")[0]
    code = re.search("<Code>(.*?)</Code>", text)
    return one_line(text.split("<?xml")[0], 300) + (f" {one_line(code[1])}" if code else "")
