"""Micro-batches: pure, so tested over everything hypothesis can think of."""

from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.batcher import MicroBatcher

MS = 1_000_000


def test_j13_a_lone_request_to_an_idle_engine_does_not_wait():
    batcher = MicroBatcher(max_batch=32, max_wait_ms=50)
    batcher.add("v1", "a", size=1, now_ns=100)

    assert batcher.wait_ns(100) == 0
    batch = batcher.take(100)
    assert (batch.key, batch.items, batch.size) == ("v1", ("a",), 1)


def test_j13_a_busy_engine_gathers_but_never_beyond_the_bound():
    batcher = MicroBatcher(max_batch=32, max_wait_ms=5)
    batcher.add("v1", "a", size=1, now_ns=0)
    batcher.take(0)
    batcher.add("v1", "b", size=1, now_ns=1 * MS)
    batcher.add("v1", "c", size=1, now_ns=3 * MS)

    assert batcher.take(4 * MS) is None
    assert batcher.wait_ns(4 * MS) == 2 * MS
    assert batcher.take(6 * MS).items == ("b", "c")
    assert batcher.take(6 * MS) is None
    batcher.add("v1", "d", size=1, now_ns=7 * MS)
    assert batcher.take(7 * MS).items == ("d",), "an empty queue makes the engine idle again"


def test_a_full_batch_does_not_wait():
    batcher = MicroBatcher(max_batch=3, max_wait_ms=1000)
    batcher.add("v1", "first", size=1, now_ns=0)
    batcher.take(0)
    for name in "abcd":
        batcher.add("v1", name, size=1, now_ns=1)

    assert batcher.wait_ns(1) == 0
    assert batcher.take(1).items == ("a", "b", "c")
    assert batcher.take(1) is None


def test_versions_are_never_mixed_and_the_oldest_goes_first():
    batcher = MicroBatcher(max_batch=8, max_wait_ms=0)
    batcher.add("v2", "x", size=1, now_ns=1)
    batcher.add("v1", "a", size=1, now_ns=2)
    batcher.add("v2", "y", size=1, now_ns=3)

    assert [batcher.take(5).items, batcher.take(5).items, batcher.take(5)] == [("x", "y"), ("a",), None]


def test_a_long_line_does_not_keep_the_others_waiting():
    batcher = MicroBatcher(max_batch=2, max_wait_ms=0)
    for number in range(100):
        batcher.add("flood", number, size=1, now_ns=number)
    batcher.add("v1", "a", size=1, now_ns=200)

    assert [batcher.take(300).items for _ in range(3)] == [(0, 1), ("a",), (2, 3)]


@given(
    st.integers(1, 8),
    st.integers(0, 10),
    st.lists(
        st.tuples(st.integers(0, 4 * MS), st.sampled_from("ab"), st.integers(1, 12), st.integers(0, 3 * MS)),
        max_size=60,
    ),
)
def test_j13_every_request_is_served_once_in_order_and_within_the_bound(max_batch, max_wait_ms, arrivals):
    """An engine that asks whenever `wait_ns` says so: waiting for company is never longer than the bound."""
    batcher = MicroBatcher(max_batch=max_batch, max_wait_ms=max_wait_ms)
    now, served = 0, []
    for number, (gap, key, size, work) in enumerate(arrivals):
        now += gap
        batcher.add(key, (number, key, now), size=size, now_ns=now)
        batch = batcher.take(now)
        if batch is not None:
            served.append(batch)
            now += work
    while len(batcher):
        wait = batcher.wait_ns(now)
        assert wait <= max_wait_ms * MS
        now += wait
        served.append(batcher.take(now))

    items = [item for batch in served for item in batch.items]
    assert sorted(item[0] for item in items) == list(range(len(arrivals)))
    for key in "ab":
        own = [item[0] for item in items if item[1] == key]
        assert own == sorted(own)
    assert all(batch.size <= max_batch or len(batch.items) == 1 for batch in served)
    assert all({item[1] for item in batch.items} == {batch.key} for batch in served)
