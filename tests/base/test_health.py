from rag.base.health import Health


def test_a_server_is_not_ready_before_it_is_warm():
    health = Health()
    assert health.failing() == ["warm-up"]
    health.warmed_up()
    assert health.ready


def test_a_draining_server_stays_out_of_rotation():
    health = Health()
    health.warmed_up()
    health.drain()
    assert not health.ready
    assert health.failing() == ["draining"]


def test_a_failing_check_is_named_and_may_recover():
    health, alive = Health(), [False]
    health.watch("embedder", lambda: alive[0])
    health.warmed_up()
    assert health.failing() == ["embedder"]
    alive[0] = True
    assert health.ready
