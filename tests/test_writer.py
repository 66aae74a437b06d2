"""The background writer: order, back-pressure, failure and end, without a clock."""

import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superact.store.writer import BackgroundWriter

LONG = 60  # seconds until a wait is a failure; nothing waits so long


class Gate:
    """A call that says when it has begun, and ends when it is told to."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.open.wait(LONG)


def in_thread(call):
    """Run a call on a thread; the event is set when it has returned."""
    done = threading.Event()
    threading.Thread(target=lambda: (call(), done.set()), daemon=True).start()
    return done


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 60))
def test_order_is_first_in_first_out(sizes, budget):
    done = []
    with BackgroundWriter(budget) as writer:
        for number, size in enumerate(sizes):
            writer.submit(lambda number=number: done.append(number), size)
        writer.drain()
        assert done == list(range(len(sizes)))


def test_submit_waits_while_the_budget_is_spent():
    gate, ran = Gate(), []
    with BackgroundWriter(100) as writer:
        writer.submit(gate, 60)
        writer.submit(lambda: ran.append("fits"), 40)
        third = in_thread(lambda: writer.submit(lambda: ran.append("waits"), 1))
        assert gate.begun.wait(LONG)
        # Whoever holds the condition sees what the waiting producer sees: it is not let in.
        with writer._changed:
            assert (writer._in_flight, len(writer._pending)) == (100, 1)
        assert not third.is_set()
        gate.open.set()
        assert third.wait(LONG)
        writer.drain()
    assert ran == ["fits", "waits"]


def test_bytes_in_flight_never_exceed_the_budget():
    most = []
    with BackgroundWriter(100) as writer:
        for _ in range(200):
            writer.submit(lambda: most.append(writer._in_flight), 30)
        writer.drain()
    assert len(most) == 200 and 30 <= max(most) <= 90


def test_an_item_larger_than_the_budget_passes_alone():
    gate, ran = Gate(), []
    with BackgroundWriter(10) as writer:
        writer.submit(gate, 5)
        large = in_thread(lambda: writer.submit(lambda: ran.append(writer._in_flight), 1000))
        assert gate.begun.wait(LONG)
        assert not large.is_set()
        gate.open.set()
        assert large.wait(LONG)
        writer.drain()
    assert ran == [1000]


def test_drain_waits_for_items_of_no_bytes():
    gate, ran = Gate(), []
    with BackgroundWriter(10) as writer:
        writer.submit(gate, 0)
        writer.submit(lambda: ran.append(1), 0)
        drained = in_thread(writer.drain)
        assert gate.begun.wait(LONG)
        assert not drained.is_set()
        gate.open.set()
        assert drained.wait(LONG)
        assert ran == [1]


def test_the_first_failure_is_raised_by_every_later_call_and_nothing_more_runs():
    gate, ran = Gate(), []

    def fail():
        raise OSError("the first")

    with BackgroundWriter() as writer:
        writer.submit(gate, 1)
        writer.submit(fail, 1)
        writer.submit(lambda: ran.append("after"), 1)
        gate.open.set()
        with pytest.raises(OSError, match="the first"):
            writer.drain()
        with pytest.raises(OSError, match="the first"):
            writer.submit(lambda: ran.append("later"), 1)
        with pytest.raises(OSError, match="the first"):
            writer.drain()
    assert ran == []


def test_a_failure_frees_a_waiting_producer():
    gate, raised = Gate(), []

    def fail():
        gate()
        raise ValueError("no")

    def produce():
        try:
            writer.submit(lambda: None, 10)
        except ValueError as error:
            raised.append(str(error))

    with BackgroundWriter(10) as writer:
        writer.submit(fail, 10)
        assert gate.begun.wait(LONG)
        produced = in_thread(produce)
        gate.open.set()
        assert produced.wait(LONG)
    assert raised == ["no"]


def test_close_drops_what_waits_and_says_so():
    gate, ran = Gate(), []
    writer = BackgroundWriter()
    writer.submit(gate, 1)
    writer.submit(lambda: ran.append("dropped"), 1)
    assert gate.begun.wait(LONG)
    closed = in_thread(writer.close)
    with writer._changed:
        assert writer._changed.wait_for(lambda: writer._closing, LONG)
    assert not closed.is_set()  # the item at hand is finished
    gate.open.set()
    assert closed.wait(LONG)
    assert ran == []
    with pytest.raises(RuntimeError, match="closed before its work was done"):
        writer.drain()
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit(lambda: None, 1)


def test_leaving_on_an_error_drops_what_waits():
    gate, ran = Gate(), []

    def open_when_closing():
        with writer._changed:
            assert writer._changed.wait_for(lambda: writer._closing, LONG)
        gate.open.set()

    with pytest.raises(KeyError), BackgroundWriter() as writer:
        writer.submit(gate, 1)
        writer.submit(lambda: ran.append("dropped"), 1)
        assert gate.begun.wait(LONG)
        in_thread(open_when_closing)
        raise KeyError
    assert ran == []
    assert not writer._thread.is_alive()


def test_data_is_let_go_before_its_bytes_are_given_back():
    class Data:
        pass

    data = Data()
    seen = weakref.ref(data)
    with BackgroundWriter(1) as writer:
        writer.submit(lambda data=data: None, 1)
        del data
        writer.submit(lambda: None, 1)  # let in only when the first item's byte is free
        assert seen() is None
