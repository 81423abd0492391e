"""A stand-in for a Qdrant server: not Qdrant, but as much of its REST API as `rag/index/qdrant.py` speaks.

It answers over HTTP from qdrant-client's own local mode, in memory, with that client's models on both sides. So it
shows that our requests can be said, sent, refused, repeated and shared by processes; it shows nothing of how a real
server indexes, replicates or survives. Where QDRANT_URL is set, tests take that server instead.

    python -m tests.qdrant_server PORT [API_KEY]
"""

import json
import pickle
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from qdrant_client import models
from qdrant_client.local.local_collection import LocalCollection
from qdrant_client.local.payload_filters import check_filter

Fault = Callable[[web.Request], Awaitable[web.Response | None]]
"""What a test has happen instead of an answer: a response, or None after a while or at once."""

Model = TypeVar("Model")

_MAX_BODY_BYTES = 256 * 2**20
_SELECTIVE = frozenset({"document_id", "content_hash", "duplicate_of", "bands", "uri", "state"})
"""Fields of which a value belongs to few points."""


class Collection(LocalCollection):
    """Local mode looks at every payload for every filter, which is too slow for thousands of documents.

    This one looks at those that have a wanted value of a selective field, and of the other filters, which are few and
    come again, it remembers what they found among points that have not changed since.
    """

    def __init__(self, config: models.CreateCollection) -> None:
        super().__init__(config)
        self.schema: dict[str, Any] = {}
        self._having: dict[tuple[str, object], set[int]] = {}
        self._found: dict[str, np.ndarray] = {}
        self._changed: dict[str, set[int]] = {}

    def _upsert_point(self, point: models.PointStruct, *arguments: Any, **options: Any) -> None:
        super()._upsert_point(point, *arguments, **options)
        self._note(point.id)

    def set_payload(self, payload: models.Payload, selector: Any, key: str | None = None) -> None:
        super().set_payload(payload, selector, key)
        for point in self._selector_to_ids(selector):
            self._note(point)

    def _note(self, point: models.ExtendedPointId) -> None:
        index = self.ids[point]
        for changed in self._changed.values():
            changed.add(index)
        for field in _SELECTIVE:
            value = (self.payload[index] or {}).get(field)
            for one in value if isinstance(value, list) else [value]:
                self._having.setdefault((field, one), set()).add(index)

    def _payload_and_non_deleted_mask(
        self, payload_filter: models.Filter | None, vector_name: str | None = None
    ) -> np.ndarray:
        mask = ~self.deleted
        if payload_filter is not None:
            few = self._few(payload_filter)
            mask &= self._remembered(payload_filter) if few is None else self._checked(payload_filter, few)
        return mask if vector_name is None else mask & ~self.deleted_per_vector[vector_name]

    def _few(self, wanted: models.Filter) -> set[int] | None:
        """Points among which all that match are; None where no condition is selective."""
        for condition in wanted.must or []:
            if isinstance(condition, models.FieldCondition) and condition.key in _SELECTIVE:
                values = getattr(condition.match, "any", [])
                return set().union(*(self._having.get((condition.key, value), set()) for value in values))
        if wanted.should and not wanted.must:
            parts = [self._few(part) if isinstance(part, models.Filter) else None for part in wanted.should]
            return None if None in parts else set().union(*(part for part in parts if part is not None))
        return None

    def _checked(self, wanted: models.Filter, points: set[int]) -> np.ndarray:
        mask = np.zeros(len(self.payload), dtype=bool)
        for index in points:
            mask[index] = self._matches(wanted, index)
        return mask

    def _remembered(self, wanted: models.Filter) -> np.ndarray:
        name = wanted.model_dump_json()
        known = self._found.get(name, np.zeros(0, dtype=bool))
        mask = np.zeros(len(self.payload), dtype=bool)
        mask[: len(known)] = known
        for index in self._changed.get(name, set()) | set(range(len(known), len(mask))):
            mask[index] = self._matches(wanted, index)
        self._found[name], self._changed[name] = mask, set()
        return mask.copy()

    def _matches(self, wanted: models.Filter, index: int) -> bool:
        return check_filter(wanted, self.payload[index], self.ids_inv[index], self._calculate_has_vector(index))

    def _scroll_by_id(
        self,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        offset: models.ExtendedPointId | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
    ) -> tuple[list[models.Record], models.ExtendedPointId | None]:
        mask = self._payload_and_non_deleted_mask(scroll_filter)
        found = sorted(self.ids_inv[index] for index in np.nonzero(mask)[0])
        after = [point for point in found if offset is None or str(point) >= str(offset)]
        page = self.retrieve(after[:limit], with_payload, with_vectors)
        return page, after[limit] if len(after) > limit else None


class QdrantServer:
    """The collections, and a handler for each request that our store makes."""

    def __init__(self) -> None:
        self.collections: dict[str, Collection] = {}
        self.led_to: dict[str, str] = {}
        self.snapshots: dict[str, bytes] = {}

    def routes(self) -> Iterator[web.RouteDef]:
        """Of the real API, the paths that are served."""
        here = "/collections/{name}"
        yield web.get("/collections", self.list)
        yield web.get("/aliases", self.aliases)
        yield web.post("/collections/aliases", self.change_aliases)
        yield web.get(f"{here}/exists", self.exists)
        yield web.put(here, self.create)
        yield web.get(here, self.info)
        yield web.delete(here, self.drop)
        yield web.put(f"{here}/index", self.create_index)
        yield web.get("/cluster", self.cluster)
        yield web.post(f"{here}/snapshots", self.snapshot)
        yield web.get(f"{here}/snapshots/{{snapshot}}", self.send_snapshot)
        yield web.delete(f"{here}/snapshots/{{snapshot}}", self.drop_snapshot)
        yield web.post(f"{here}/snapshots/upload", self.recover)
        yield web.post(f"{here}/points", self.retrieve)
        yield web.post(f"{here}/points/scroll", self.scroll)
        yield web.post(f"{here}/points/count", self.count)
        yield web.post(f"{here}/facet", self.facet)
        yield web.post(f"{here}/points/batch", self.update)
        yield web.post(f"{here}/points/query/batch", self.query)

    async def list(self, _: web.Request) -> web.Response:
        return _result({"collections": [{"name": name} for name in self.collections]})

    async def aliases(self, _: web.Request) -> web.Response:
        told = [{"alias_name": alias, "collection_name": name} for alias, name in self.led_to.items()]
        return _result({"aliases": told})

    async def change_aliases(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.ChangeAliasesOperation)
        led_to = dict(self.led_to)
        for step in asked.actions:
            if isinstance(step, models.DeleteAliasOperation):
                del led_to[step.delete_alias.alias_name]
            elif isinstance(step, models.CreateAliasOperation):
                made = step.create_alias
                if made.collection_name not in self.collections or made.alias_name in self.collections:
                    return _refusal(409, f"Alias `{made.alias_name}` cannot be made!")
                led_to[made.alias_name] = made.collection_name
        self.led_to = led_to
        return _result(True)

    async def exists(self, request: web.Request) -> web.Response:
        return _result({"exists": request.match_info["name"] in self.collections})

    async def create(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.collections:
            return _refusal(409, f"Collection `{name}` already exists!")
        self.collections[name] = Collection(await _body(request, models.CreateCollection))
        return _result(True)

    async def drop(self, request: web.Request) -> web.Response:
        return _result(self.collections.pop(request.match_info["name"], None) is not None)

    async def info(self, request: web.Request) -> web.Response:
        collection = self._collection(request)
        return _result(collection.info().model_copy(update={"payload_schema": collection.schema}))

    async def cluster(self, _: web.Request) -> web.Response:
        return _result({"status": "disabled"})

    async def snapshot(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['name']}-{len(self.snapshots)}.snapshot"
        self.snapshots[name] = pickle.dumps(self._collection(request))
        return _result({"name": name, "size": len(self.snapshots[name])})

    async def send_snapshot(self, request: web.Request) -> web.Response:
        return web.Response(body=self.snapshots[request.match_info["snapshot"]])

    async def drop_snapshot(self, request: web.Request) -> web.Response:
        return _result(self.snapshots.pop(request.match_info["snapshot"], None) is not None)

    async def recover(self, request: web.Request) -> web.Response:
        part = (await request.post())["snapshot"]
        assert isinstance(part, web.FileField)
        self.collections[request.match_info["name"]] = pickle.loads(part.file.read())
        return _result(True)

    async def create_index(self, request: web.Request) -> web.Response:
        asked = await request.json()
        schema = asked["field_schema"]
        kind = schema["type"] if isinstance(schema, dict) else schema
        self._collection(request).schema[asked["field_name"]] = {"data_type": kind, "points": 0}
        return _done()

    async def retrieve(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.PointRequest)
        return _result(self._collection(request).retrieve(asked.ids, asked.with_payload, asked.with_vector or False))

    async def scroll(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.ScrollRequest)
        points, following = self._collection(request).scroll(
            asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            with_payload=asked.with_payload,
            with_vectors=asked.with_vector or False,
        )
        return _result({"points": points, "next_page_offset": following})

    async def count(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.CountRequest)
        return _result({"count": int(self._collection(request).count(asked.filter).count)})

    async def facet(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.FacetRequest)
        return _result(self._collection(request).facet(asked.key, asked.filter, asked.limit or 10))

    async def update(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.UpdateOperations)
        self._collection(request).batch_update_points(asked.operations)
        return _result([{"operation_id": 0, "status": "completed"}] * len(asked.operations))

    async def query(self, request: web.Request) -> web.Response:
        asked = await _body(request, models.QueryRequestBatch)
        collection = self._collection(request)
        return _result([_answer(collection, one) for one in asked.searches])

    def _collection(self, request: web.Request) -> Collection:
        name = request.match_info["name"]
        name = self.led_to.get(name, name)
        if name not in self.collections:
            raise web.HTTPNotFound(text=f"Collection `{name}` doesn't exist!")
        return self.collections[name]


def application(api_key: str | None = None, fault: Fault | None = None) -> web.Application:
    """The stand-in as an application: behind a key, and with faults, where a test wants them."""

    @web.middleware
    async def guarded(request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> Any:
        if api_key is not None and request.headers.get("api-key") != api_key:
            return _refusal(401, "Must provide an API key or an Authorization bearer token")
        if fault is not None and (instead := await fault(request)) is not None:
            return instead
        try:
            return await handler(request)
        except (ValidationError, ValueError) as error:
            return _refusal(400, f"Wrong input: {error}")
        except KeyError as error:
            return _refusal(404, f"Not found: No point with id {error} found")

    made = web.Application(middlewares=[guarded], client_max_size=_MAX_BODY_BYTES)
    made.add_routes(QdrantServer().routes())
    return made


@asynccontextmanager
async def serving(api_key: str | None = None, fault: Fault | None = None) -> AsyncIterator[str]:
    """The url of a stand-in that runs in this loop."""
    async with TestServer(application(api_key, fault)) as server:
        yield str(server.make_url("")).rstrip("/")


def _answer(collection: Collection, asked: models.QueryRequest) -> models.QueryResponse:
    return collection.query_points(
        asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query,
        query_filter=asked.filter,
        limit=asked.limit or 10,
        with_payload=asked.with_payload or False,
        using=asked.using,
        search_params=asked.params,
    )


async def _body(request: web.Request, kind: type[Model]) -> Model:
    return TypeAdapter(kind).validate_json(await request.read())


def _done() -> web.Response:
    return _result({"operation_id": 0, "status": "completed"})


def _result(result: object) -> web.Response:
    told = {"time": 0.0, "status": "ok", "result": to_jsonable_python(result)}
    return web.json_response(text=json.dumps(told, ensure_ascii=False))


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"time": 0.0, "status": {"error": message}}, status=status)


if __name__ == "__main__":
    web.run_app(application(*sys.argv[2:3]), host="127.0.0.1", port=int(sys.argv[1]), print=None)
