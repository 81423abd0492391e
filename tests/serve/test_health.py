from tests.serve.stage import client_of, services


async def test_a_process_is_alive_before_it_is_ready():
    staged = services()
    async with client_of(staged, {}) as client:
        assert (await client.get("/livez")).json() == {"status": "alive"}
        waiting = await client.get("/readyz")
        staged.health.warmed_up()
        ready = await client.get("/readyz")
    assert (waiting.status_code, waiting.json()["type"]) == (503, "/problems/unavailable")
    assert "warm-up" in waiting.json()["detail"]
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_probes_may_ask_without_a_body():
    staged = services()
    async with client_of(staged, {}) as client:
        states = [(await client.head(path)).status_code for path in ("/livez", "/readyz")]
        staged.health.warmed_up()
        ready = await client.head("/readyz")
    assert states == [200, 503]
    assert (ready.status_code, ready.content) == (200, b"")


async def test_readiness_names_what_fails():
    staged = services()
    staged.health.watch("the embedder", lambda: False)
    staged.health.warmed_up()
    staged.health.drain()
    async with client_of(staged, {}) as client:
        detail = (await client.get("/readyz")).json()["detail"]
    assert detail == "not ready: draining, the embedder"
