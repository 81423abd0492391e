"""Documents from S3-compatible storage, by botocore: with the credentials that AWS's own tools would find.

They come from the environment, the shared files, a container's or an instance's role; nothing of them is configured
here. botocore is heavy and optional, so it is imported when a bucket is named. Everything here waits for the network
and belongs into threads; botocore's clients are safe to share between them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote

from ingest.config import IngestConfig
from ingest.outcome import Failure
from ingest.sources import S3, S3Source, is_passed_over, is_s3, is_there
from rag.base.errors import ConfigError, IngestError, PermanentIngestError, TransientIngestError

CONNECT_TIMEOUT_S: Final = 10
ATTEMPTS: Final = 4
"""Of one request, the first one counted; botocore waits between them."""

_PIECE_BYTES: Final = 2**20


def open_objects(config: IngestConfig) -> "S3Objects":
    """Buckets as the environment says, or at `s3_endpoint`. Raises ConfigError when botocore is missing or lost."""
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session
    except ModuleNotFoundError as error:
        raise ConfigError("to read from s3:// an extra is missing: pip install 'groundwire[s3]'") from error
    options = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=config.fetch_timeout_s,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # An endpoint of one's own rarely has a host name for every bucket.
        s3={"addressing_style": "path" if config.s3_endpoint else "auto"},
    )
    try:
        client = Session().create_client("s3", endpoint_url=config.s3_endpoint or None, config=options)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"S3 cannot be set up: {error}", path="$.ingest.s3_endpoint") from error
    return S3Objects(client, (BotoCoreError, ClientError), config.max_file_bytes)


class S3Objects:
    """The objects of buckets. `faults` is what the client raises."""

    def __init__(self, client: Any, faults: tuple[type[Exception], ...], max_bytes: int) -> None:
        self._client = client
        self._faults = faults
        self._max_bytes = max_bytes
        self._listed: dict[str, set[str]] = {}

    def find(self, pattern: str) -> Iterator[S3Source | Failure]:
        """The object `s3://bucket/key`, and those below `key/`; by key, without what a folder is walked without.

        What cannot be listed is a Failure.
        """
        bucket, _, prefix = pattern.removeprefix(S3).partition("/")
        listed = self._listed[pattern] = set()
        try:
            for found in self._named(bucket, prefix):
                listed.add(found.uri)
                yield found
        except IngestError as error:
            uri = uri_of(bucket, prefix)
            transient = isinstance(error, TransientIngestError)
            yield Failure(uri=uri, reason=str(error), transient=transient, source=uri)

    def read(self, source: S3Source) -> bytes:
        """The object whole. Raises PermanentIngestError, TransientIngestError."""
        limit = self._max_bytes
        with self._got(source) as (body, size_bytes):
            data = b"" if size_bytes > limit else body.read(limit + 1)
        if max(size_bytes, len(data)) > limit:
            raise PermanentIngestError(f"it is larger than the {limit} bytes that max_file_bytes allows")
        return bytes(data)

    @contextmanager
    def copied(self, source: S3Source) -> Iterator[BinaryIO]:
        """The object in a temporary file, however large it is. Raises as `read`, and OSError."""
        with tempfile.TemporaryFile() as file:
            with self._got(source) as (body, _):
                while piece := body.read(_PIECE_BYTES):
                    file.write(piece)
            file.seek(0)
            yield file

    def is_there(self, uri: str) -> bool:
        """Whether the object exists: it was in the last listing, or S3 says so now. Of others as `sources.is_there`.

        Raises PermanentIngestError, TransientIngestError when S3 does not tell.
        """
        if not is_s3(uri):
            return is_there(uri)
        if any(uri in listed for listed in self._listed.values()):
            return True
        bucket, key = place_of(uri)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except self._faults as error:
            if _status(error) == 404:
                return False
            raise _translated(error) from error
        return True

    def _named(self, bucket: str, prefix: str) -> Iterator[S3Source]:
        folder = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        if folder and not prefix.endswith("/"):
            # Of all keys that begin with another one that one comes first.
            alone = self._page(bucket, prefix, {"MaxItems": 1})
            yield from (each for each in alone if each.key == prefix)
        for each in self._page(bucket, folder, {}):
            names = each.key.removeprefix(folder).split("/")
            if names[-1] and not any(map(is_passed_over, names)):
                yield each

    def _page(self, bucket: str, prefix: str, paging: dict[str, int]) -> Iterator[S3Source]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig=paging):
                for each in page.get("Contents", ()):
                    etag, size_bytes = each.get("ETag", "").strip('"'), each["Size"]
                    yield S3Source(
                        uri=uri_of(bucket, each["Key"]),
                        key=each["Key"],
                        bucket=bucket,
                        size_bytes=size_bytes,
                        modified_at=each["LastModified"],
                        stamp=f"{size_bytes}-{etag}" if etag else "",
                    )
        except self._faults as error:
            raise _translated(error) from error

    @contextmanager
    def _got(self, source: S3Source) -> Iterator[tuple[Any, int]]:
        """The body, and how many bytes it has; what goes wrong while it is read is translated too."""
        try:
            reply = self._client.get_object(Bucket=source.bucket, Key=source.key)
            with reply["Body"] as body:
                yield body, reply["ContentLength"]
        except self._faults as error:
            raise _translated(error) from error


def uri_of(bucket: str, key: str) -> str:
    """What the object is called: with a '#' or a space in its key it is a URI all the same."""
    return f"{S3}{bucket}/{quote(key)}".rstrip("/")


def place_of(uri: str) -> tuple[str, str]:
    """Bucket and key of `uri_of`."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bucket, unquote(key)


def _translated(error: Exception) -> IngestError:
    """The vendor's error as ours, without its text, which may quote what was asked."""
    reply: dict[str, Any] = getattr(error, "response", None) or {}
    if not reply:
        return TransientIngestError(f"S3 cannot be asked: {type(error).__name__}")
    kind = TransientIngestError if _status(error) == 429 or _status(error) >= 500 else PermanentIngestError
    return kind(f"S3 answered {_status(error)} {reply.get('Error', {}).get('Code', '')}".rstrip())


def _status(error: Exception) -> int:
    reply: dict[str, Any] = getattr(error, "response", None) or {}
    return int(reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
