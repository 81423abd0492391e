"""Random principals, documents and filters: nothing that leaves the door shows another's document."""

import json
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as altered

from ingest.config import IngestConfig
from ingest.library import Library
from ingest.pipeline import Indexer
from rag.base.ids import document_id
from rag.govern.access import permits, readable_by
from rag.govern.keys import KeyConfig, KeyRing, new_key
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.pipeline.answer import Answerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rerank.none import NoReranker
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder, QuotingModel
from tests.indexing import tiny_tokenizer
from tests.serve.stage import client_of, services

GRANTS = ["everyone", "group:staff", "group:legal", "user:ann", "user:bob", "user:nobody"]


def _key(subject: str, tenant: str, *groups: str) -> tuple[str, KeyConfig]:
    return new_key(subject, tenant=tenant, groups=groups, scopes=["read", "write"])


HOLDERS = [
    _key("ann", "acme", "staff"),
    _key("bob", "acme", "legal"),
    _key("cid", "acme"),
    _key("ann", "other", "staff", "legal"),
]

documents = st.lists(
    st.tuples(
        st.integers(0, len(HOLDERS) - 1),
        st.integers(0, 4),
        st.lists(st.sampled_from(GRANTS), max_size=3, unique=True),
        st.sampled_from(["rope", "sail", "mast"]),
    ),
    min_size=1,
    max_size=12,
)
questions = st.lists(
    st.tuples(
        st.integers(0, len(HOLDERS) - 1),
        st.sampled_from(["rope", "sail", "mast rope", "secret"]),
        st.sampled_from([{}, {"team": "rope"}, {"team": {"not": "rope"}}, {"format": "text"}, {"document_id": "?"}]),
    ),
    min_size=1,
    max_size=6,
)


THROUGH_THE_GATEWAY = {
    "/v1/chat/completions": lambda text: {
        "model": "rag/default",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
    },
    "/v1/responses": lambda text: {"model": "rag/extractive", "input": text},
    "/v1/messages": lambda text: {
        "model": "rag/default",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": text}],
    },
}


def staged():
    """The real recipes over stand-ins for the models and the store."""
    store, embedder, config = MemoryStore(fields=Fields({"team": "keyword"})), HashingEmbedder(), AnswerConfig()
    searcher = Searcher(embedder, BatchedRetriever(store), NoReranker(), config)
    models = {"extractive": QuotingModel()}
    answerer = Answerer(searcher, models, Profiles(config), count=len, index="memory")
    indexer = Indexer(embedder, store, tiny_tokenizer(), IngestConfig())
    return services(
        keys=KeyRing([key for _, key in HOLDERS]),
        fields=Fields({"team": "keyword"}),
        searcher=searcher,
        answerer=answerer,
        models=models,
        default_model="extractive",
        library=Library(indexer, store),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents, questions)
async def test_no_reply_shows_a_document_that_its_reader_may_not_see(written, asked) -> None:
    numbers = count(1)
    shelf = {}  # document id -> (tenant, acl, the word that only this version holds)
    async with client_of(staged(), headers={}) as client:
        for holder, place, acl, team in written:
            token, key = HOLDERS[holder]
            word = f"secret{next(numbers)}x"
            body = {"uri": f"memo:{place}", "text": f"{team} {word}.", "acl": acl, "metadata": {"team": team}}
            reply = await client.put("/documents", json=body, headers=bearer(token))
            identifier = document_id(key.tenant, f"memo:{place}")
            if identifier in shelf and not visible(key, *shelf[identifier][:2]):
                assert reply.status_code == 403, "who may not read a document may not replace it"
                assert "secret" not in reply.text
                continue
            assert reply.is_success, reply.text
            shelf[identifier] = (key.tenant, tuple(acl), word)
        for holder, text, filters in asked:
            await look_around(client, holder, text, filters, shelf)


async def look_around(client, holder, text, filters, shelf) -> None:
    token, key = HOLDERS[holder]
    seen = {identifier: entry for identifier, entry in shelf.items() if visible(key, *entry[:2])}
    hidden = {identifier: entry for identifier, entry in shelf.items() if identifier not in seen}
    if "document_id" in filters:
        filters = {"document_id": next(iter(hidden), "0" * 32)}
    replies = [
        await client.post("/ask", json={"question": text, "filters": filters, "explain": True}, headers=bearer(token)),
        await client.post("/ask", json={"question": text, "stream": True}, headers=bearer(token)),
        await client.post("/search", json={"query": text, "filters": filters}, headers=bearer(token)),
        await client.get("/documents", headers=bearer(token)),
        await client.get("/documents", params={"uri": "memo:1"}, headers=bearer(token)),
    ]
    for path, members in THROUGH_THE_GATEWAY.items():
        replies.append(await client.post(path, json=members(text), headers=bearer(token)))
        assert replies[-1].is_success or not seen, "with nothing to quote the model has no word to say"
    for identifier in hidden:
        url = f"/documents/{identifier}"
        replies += [await client.get(url, params={"text": "true"}, headers=bearer(token))]
        gone = await client.delete(url, headers=bearer(token))
        absent = await client.delete(f"/documents/{'f' * 32}", headers=bearer(token))
        assert gone.status_code == absent.status_code == 404
    for reply in replies:
        for identifier, (_, _, word) in hidden.items():
            assert word not in reply.text
            assert reply.is_success is False or identifier not in reply.text
    listing = json.loads(replies[3].text)
    assert listing["total"] == len(seen)
    assert {document["id"] for document in listing["documents"]} == set(seen)


def visible(key: KeyConfig, tenant: str, acl: tuple[str, ...]) -> bool:
    return permits(readable_by(KeyRing([key]).authenticate(token_of(key))), tenant, acl)


def token_of(key: KeyConfig) -> str:
    return next(token for token, other in HOLDERS if other.id == key.id)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("grants", [(), ("user:nobody",)])
def test_a_document_for_nobody_is_seen_by_nobody(grants: tuple[str, ...]) -> None:
    for token, key in HOLDERS:
        principal = KeyRing([altered(key)]).authenticate(token)
        assert not permits(readable_by(principal), key.tenant, grants)
