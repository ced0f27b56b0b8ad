"""Vectors of texts from an endpoint."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np

from ..datasets.errors import DataError
from ..datasets.log import Float32
from .encoder import RemoteEncoder, unit
from .endpoint import Endpoint


class EndpointEncoder(RemoteEncoder):
    """Vectors by POST BASE/embeddings.

    The `id` names model and address only: what the server computes under that name is for it to keep equal.
    """

    batch = 64

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is sent yet. Lists are asked for; base64 is understood too."""
        self._endpoint = endpoint
        self.id = f"endpoint {endpoint.model}@{endpoint.base}"
        self.known_width: int | None = None

    def announce(self, texts: Sequence[str]) -> None:
        """See RemoteEncoder; empty texts are not sent."""
        self._endpoint.announce([text for text in texts if text.strip()])

    def encode(self, texts: Sequence[str]) -> Float32:
        """See TextEncoder; equal texts of one call are sent once.

        Raises:
            InputError: sending was not allowed, or the server refused.
            DataError: the answer is not a finite vector of one length for each text.
            UnfinishedError: no try succeeded.
        """
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            if text.strip():
                rows.setdefault(text.encode("utf-8", "replace").decode(), []).append(row)
        distinct = list(rows)
        self._endpoint.ensure([text for text in texts if text.strip()])
        parts = [self._request(distinct[first : first + self.batch]) for first in range(0, len(distinct), self.batch)]
        found = np.zeros((len(texts), self.width), np.float32)
        for part, first in zip(parts, range(0, len(distinct), self.batch), strict=True):
            for vector, text in zip(part, distinct[first : first + self.batch], strict=True):
                found[rows[text]] = vector
        return unit(found)

    def _request(self, texts: list[str]) -> Float32:
        """Vectors as the server gives them, in the order of the texts: float32 [n, D]."""
        answer = self._endpoint.post("/embeddings", {"input": texts, "encoding_format": "float"})
        url = f"{self._endpoint.base}/embeddings"
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
            raise DataError(f"{url}: the answer has no list `data` of embeddings")
        places = [entry.get("index") for entry in data]
        if any(type(place) is not int for place in places) or sorted(places) != list(range(len(texts))):
            raise DataError(f"{url}: {len(places)} embeddings whose `index` is not 0 to {len(texts) - 1}, each once")
        vectors = [_vector(entry.get("embedding"), url) for entry in sorted(data, key=lambda entry: entry["index"])]
        widths = sorted({len(vector) for vector in vectors})
        wanted = self.known_width or widths[0]
        if widths != [wanted]:
            raise DataError(
                f"{url}: vectors of {' and '.join(map(str, widths))} numbers, {wanted} were expected as before; "
                "if the model has changed, give it another name or empty the folder of kept vectors"
            )
        self.known_width = wanted
        return np.stack(vectors)


def _vector(value: object, url: str) -> Float32:
    """One embedding, a list of numbers or base64 of little-endian float32."""
    try:
        if isinstance(value, str):
            found = np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
        elif isinstance(value, list) and value and all(type(number) in (int, float) for number in value):
            with np.errstate(over="ignore"):
                found = np.array(value, np.float64).astype(np.float32)
        else:
            found = np.zeros(0, np.float32)
    except (ValueError, OverflowError, binascii.Error):
        found = np.zeros(0, np.float32)
    if not found.size:
        raise DataError(f"{url}: an embedding is neither a list of numbers nor base64 of float32")
    if not np.isfinite(found).all():
        raise DataError(f"{url}: an embedding holds a NaN or an infinite number")
    return found
