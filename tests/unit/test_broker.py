"""The broker's rules, called as coroutines: no actor is needed to see them."""

import asyncio
from dataclasses import replace

from raymoco.study.broker import CLOSE, Assignment, Broker


def assignment(trial_id, attempt=1, epochs=3):
    return Assignment(trial_id, attempt, {"epochs": epochs}, "folder")


def played(scenario):
    return asyncio.run(scenario())


def states(events):
    return {e["trial_id"]: (e["state"], e["reason"]) for e in events if e["event"] == "ended"}


def test_nothing_is_handed_out_until_every_client_has_submitted_once():
    async def scenario():
        broker = Broker(0)
        await broker.open_gate(2)
        await broker.submit(assignment("a"))
        early = await broker.next_assignment("g", 0.01)
        await broker.submit(assignment("b"))
        return early, await broker.next_assignment("g", 1), await broker.next_assignment("g", 1)

    early, first, second = played(scenario)
    assert early is None
    assert (first.trial_id, second.trial_id) == ("a", "b")


def test_a_gate_is_lifted_when_fewer_trials_come_than_it_waits_for():
    async def scenario():
        broker = Broker(0)
        await broker.open_gate(2)
        await broker.submit(assignment("a"))
        await broker.lift_gate()
        return await broker.next_assignment("g", 1)

    assert played(scenario).trial_id == "a"


def test_reports_reach_the_client_in_order_and_the_last_epoch_completes_the_trial():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("a"))
        await broker.next_assignment("g", 1)
        for epoch in (1, 2, 3):
            assert not await broker.report("a", 1, {"epoch": epoch}, None)
        await broker.finish("a", 1, "completed", "")
        seen = [await broker.next_row("a", 1) for _ in range(4)]
        return seen, states(await broker.events(0, 0))

    seen, ended = played(scenario)
    assert seen == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}, "completed"]
    assert ended == {"a": ("completed", "")}


def test_a_cancelled_trial_is_told_to_stop_at_its_next_report_and_wakes_its_client():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("a"))
        await broker.next_assignment("g", 1)
        waiting = asyncio.create_task(broker.next_row("a", 5))
        await asyncio.sleep(0)
        state, _ = await broker.cancel("a", "pruned", "why")
        woken = await waiting
        stop = await broker.report("a", 1, {"epoch": 1}, None)
        await broker.finish("a", 1, "completed", "")
        return state, woken, stop, states(await broker.events(0, 0))

    state, woken, stop, ended = played(scenario)
    assert (state, woken, stop) == ("pruned", "pruned", True)
    assert ended == {"a": ("pruned", "why")}


def test_what_a_scheduler_stops_too_late_is_completed_with_every_report():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("a"))
        await broker.next_assignment("g", 1)
        for epoch in (1, 2, 3):
            await broker.report("a", 1, {"epoch": epoch}, None)
        await broker.next_row("a", 1)
        return await broker.cancel("a", "pruned", "a scheduler stopped it")

    assert played(scenario) == ("completed", [{"epoch": 2}, {"epoch": 3}])


def test_a_report_of_an_older_attempt_is_rejected():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("a", attempt=2))
        await broker.next_assignment("g", 1)
        stop = await broker.report("a", 1, {"epoch": 1}, None)
        await broker.finish("a", 1, "failed", "old")
        return stop, await broker.next_row("a", 0.01)

    assert played(scenario) == (True, None)


def test_stopping_ends_what_runs_what_waits_and_what_still_comes():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("runs"))
        await broker.next_assignment("g", 1)
        await broker.submit(assignment("waits"))
        await broker.stop_all("stopped", "interrupted")
        await broker.submit(assignment("comes"))
        await broker.cancel("never came", "pruned", "a scheduler stopped it")
        handed = await broker.next_assignment("g", 0.01)
        return handed, states(await broker.events(0, 0))

    handed, ended = played(scenario)
    assert handed is None
    assert ended == dict.fromkeys(
        ["runs", "waits", "comes", "never came"], ("stopped", "interrupted")
    )


def test_closing_sends_gangs_home_once_nothing_waits():
    async def scenario():
        broker = Broker(0)
        await broker.submit(assignment("a"))
        await broker.close()
        return await broker.next_assignment("g", 1), await broker.next_assignment("g", 1)

    first, second = played(scenario)
    assert first.trial_id == "a"
    assert second == CLOSE


def test_a_trial_with_a_pause_stops_there_and_goes_on_in_its_next_attempt():
    async def scenario():
        broker = Broker(0)
        await broker.submit(replace(assignment("a"), until=1))
        await broker.next_assignment("g", 1)
        stop = await broker.report("a", 1, {"epoch": 1}, "c")
        await broker.finish("a", 1, "stopped", "")
        await broker.submit(assignment("a", attempt=2))
        again = await broker.next_assignment("g", 1)
        on = [await broker.report("a", 2, {"epoch": epoch}, "c") for epoch in (1, 2, 3)]
        return stop, again.attempt, on, await broker.events(0, 1)

    stop, attempt, on, events = played(scenario)
    assert (stop, attempt, on) == (True, 2, [False, False, False])
    assert [event["event"] for event in events if event["event"] != "report"] == [
        "assigned", "paused", "assigned", "ended",
    ]  # fmt: skip
    assert states(events) == {"a": ("completed", "")}


def test_a_paused_trial_can_be_stopped():
    async def scenario():
        broker = Broker(0)
        await broker.submit(replace(assignment("a"), until=1))
        await broker.next_assignment("g", 1)
        await broker.report("a", 1, {"epoch": 1}, "c")
        await broker.stop_all("stopped", "interrupted")
        return await broker.events(0, 1)

    assert states(played(scenario)) == {"a": ("stopped", "interrupted")}
