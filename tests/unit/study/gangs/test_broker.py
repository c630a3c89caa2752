"""The broker's rules, called as coroutines: no actor is needed to see them."""

import asyncio
from dataclasses import replace

from raymoco.study.gangs.answers import Canceled, GangOrder, TrialNews
from raymoco.study.gangs.broker import Broker
from raymoco.study.gangs.trial_queue import Assignment
from raymoco.study.journal.events import Ended, GangClosed, Reported
from raymoco.study.sweepfile.sections import GangConfig


def assignment(trial_id, attempt=1, epochs=3):
    return Assignment(trial_id, attempt, {"epochs": epochs}, "folder")


async def with_gang(**rules):
    broker = Broker(0, GangConfig(**rules))
    await rise(broker)
    return broker


def rise(broker, gang="g", incarnation="i", problem=None):
    return broker.hello(gang, incarnation, 0, 1, [], "here", problem)


def ask(broker, timeout_s, gang="g", incarnation="i"):
    return broker.next_assignment(gang, incarnation, timeout_s)


def played(scenario):
    return asyncio.run(scenario())


def states(events):
    return {e.trial_id: (e.state, e.reason) for e in events if isinstance(e, Ended)}


def test_nothing_is_handed_out_until_every_client_has_submitted_once():
    async def scenario():
        broker = await with_gang()
        await broker.open_gate(2)
        await broker.submit(assignment("a"))
        early = await ask(broker, 0.01)
        await broker.submit(assignment("b"))
        return (
            early,
            await ask(broker, 1),
            await ask(broker, 1),
        )

    early, first, second = played(scenario)
    assert early == GangOrder.WAIT
    assert (first.trial_id, second.trial_id) == ("a", "b")


def test_a_gate_is_lifted_when_fewer_trials_come_than_it_waits_for():
    async def scenario():
        broker = await with_gang()
        await broker.open_gate(2)
        await broker.submit(assignment("a"))
        await broker.lift_gate(1)
        return await ask(broker, 1)

    assert played(scenario).trial_id == "a"


def test_reports_reach_the_client_in_order_and_the_last_epoch_completes_the_trial():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        for epoch in (1, 2, 3):
            assert not await broker.report("a", 1, {"epoch": epoch}, None)
        await broker.finish("a", 1, "completed", "")
        seen = [await broker.next_row("a", 1) for _ in range(4)]
        return seen, states(await broker.events(0, 0))

    seen, ended = played(scenario)
    assert seen == [*(TrialNews(row={"epoch": n}) for n in (1, 2, 3)), TrialNews(end="completed")]
    assert ended == {"a": ("completed", "")}


def test_a_canceled_trial_is_told_to_stop_at_its_next_report_and_wakes_its_client():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        waiting = asyncio.create_task(broker.next_row("a", 5))
        await asyncio.sleep(0)
        canceled = await broker.cancel("a", "pruned", "why")
        woken = await waiting
        stop = await broker.report("a", 1, {"epoch": 1}, None)
        await broker.finish("a", 1, "completed", "")
        return canceled.state, woken, stop, states(await broker.events(0, 0))

    state, woken, stop, ended = played(scenario)
    assert (state, woken, stop) == ("pruned", TrialNews(end="pruned"), True)
    assert ended == {"a": ("pruned", "why")}


def test_what_a_scheduler_stops_too_late_is_completed_with_every_report():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        for epoch in (1, 2, 3):
            await broker.report("a", 1, {"epoch": epoch}, None)
        await broker.next_row("a", 1)
        return await broker.cancel("a", "pruned", "a scheduler stopped it")

    assert played(scenario) == Canceled("completed", [{"epoch": 2}, {"epoch": 3}])


def test_a_report_of_an_older_attempt_is_rejected():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a", attempt=2))
        await ask(broker, 1)
        stop = await broker.report("a", 1, {"epoch": 1}, None)
        await broker.finish("a", 1, "failed", "old")
        return stop, await broker.next_row("a", 0.01)

    assert played(scenario) == (True, TrialNews())


def test_stopping_ends_what_runs_what_waits_and_what_still_comes():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("runs"))
        await ask(broker, 1)
        await broker.submit(assignment("waits"))
        await broker.stop_all("stopped", "interrupted")
        await broker.submit(assignment("comes"))
        await broker.cancel("never came", "pruned", "a scheduler stopped it")
        handed = await ask(broker, 0.01)
        return handed, states(await broker.events(0, 0))

    handed, ended = played(scenario)
    assert handed == GangOrder.WAIT
    assert ended == dict.fromkeys(
        ["runs", "waits", "comes", "never came"], ("stopped", "interrupted")
    )


def test_closing_sends_gangs_home_once_nothing_waits():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await broker.close()
        return await ask(broker, 1), await ask(broker, 1)

    first, second = played(scenario)
    assert first.trial_id == "a"
    assert second == GangOrder.CLOSE


async def kinds(broker):
    return [event.kind for event in await broker.events(0, 0)]


def test_a_failed_attempt_is_followed_by_another_from_the_last_checkpoint():
    async def scenario():
        broker = await with_gang(max_failures=1)
        await broker.submit(assignment("a"))
        await broker.submit(assignment("b"))
        await ask(broker, 1)
        await broker.report("a", 1, {"epoch": 1}, "epoch-1")
        await broker.fail("a", 1, "ValueError: x", False)
        again = await ask(broker, 1)
        stop = await broker.report("a", 1, {"epoch": 2}, "epoch-2")
        repeated = await broker.report("a", 2, {"epoch": 1}, None)
        await broker.fail("a", 2, "ValueError: x", False)
        return again, stop, repeated, states(await broker.events(0, 0)), await kinds(broker)

    again, stop, repeated, ended, seen = played(scenario)
    assert (again.trial_id, again.attempt, again.resume_from) == ("a", 2, "epoch-1")
    assert stop, "the older attempt is told to stop"
    assert not repeated
    assert ended == {"a": ("failed", "ValueError: x (2 times)")}
    assert seen.count("report") == 1, "the same epoch again is not news"


def test_what_would_fail_alike_is_not_tried_again():
    async def scenario():
        broker = await with_gang(max_failures=5)
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        await broker.fail("a", 1, "nan at epoch 1", True)
        return states(await broker.events(0, 0))

    assert played(scenario) == {"a": ("failed", "nan at epoch 1")}


def test_failures_of_an_earlier_driver_count():
    async def scenario():
        broker = await with_gang(max_failures=2)
        await broker.submit(Assignment("a", 3, {"epochs": 3}, "folder", None, failures=2))
        await ask(broker, 1)
        await broker.fail("a", 3, "why", False)
        return states(await broker.events(0, 0))

    assert played(scenario) == {"a": ("failed", "why (3 times)")}


def test_a_new_incarnation_says_that_the_one_before_is_lost_and_its_trial_goes_on():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        await rise(broker, incarnation="j")
        zombie = await ask(broker, 0.01, incarnation="i")
        again = await ask(broker, 1, incarnation="j")
        return zombie, again, await kinds(broker)

    zombie, again, seen = played(scenario)
    assert zombie == GangOrder.CLOSE
    assert (again.trial_id, again.attempt) == ("a", 2)
    assert seen == ["gang_up", "assigned", "retry", "gang_lost", "gang_up", "assigned"]


def test_a_gang_that_starts_three_times_and_gets_nowhere_is_closed_and_others_go_on():
    async def scenario():
        broker = await with_gang(max_failures=9)
        await rise(broker, "other")
        await broker.submit(assignment("a"))
        for incarnation in ("i", "j", "k"):
            await rise(broker, incarnation=incarnation)
            await ask(broker, 1, incarnation=incarnation)
        await rise(broker, incarnation="l")
        closed = await ask(broker, 1, incarnation="l")
        hope = await broker.stranded()
        again = await broker.starts_again("g", None)
        work = await ask(broker, 1, "other")
        await rise(broker, "other", "j", problem="it cannot see the folder")
        return closed, hope, again, work.attempt, await broker.stranded()

    closed, hope, again, attempt, stranded = played(scenario)
    assert (closed, hope, again, attempt) == (GangOrder.CLOSE, None, False, 4)
    assert "g: failed 3 times in a row without finishing an epoch; last error: its" in stranded
    assert "other: it cannot see the folder" in stranded


def test_a_gang_that_comes_forward_may_be_lost_any_number_of_times():
    async def scenario():
        broker = await with_gang(max_failures=9)
        await broker.submit(assignment("a", epochs=9))
        for attempt in range(1, 7):
            await rise(broker, incarnation=str(attempt))
            work = await ask(broker, 1, incarnation=str(attempt))
            await broker.report("a", work.attempt, {"epoch": attempt}, None)
        return work.attempt

    assert played(scenario) == 6


def test_a_gang_that_cannot_even_start_is_given_up():
    async def scenario():
        broker = Broker(0)
        return [await broker.starts_again("g", "no room") for _ in range(3)]

    assert played(scenario) == [True, True, False]


def test_gangs_that_the_last_trials_do_not_need_go_home():
    async def scenario():
        broker = await with_gang()
        await rise(broker, "h")
        await broker.open_gate(2, last=True)
        await broker.submit(assignment("a"))
        await broker.submit(assignment("b"))
        first, second = await ask(broker, 1), await ask(broker, 1, "h")
        await broker.lift_gate(2)
        await broker.finish(first.trial_id, 1, "completed", "")
        home = await ask(broker, 1)
        await broker.fail(second.trial_id, 1, "why", False)
        return home, await ask(broker, 1, "h")

    home, kept = played(scenario)
    assert home == GangOrder.CLOSE
    assert (kept.trial_id, kept.attempt) == ("b", 2)


def test_a_gang_waits_for_a_trial_that_is_still_on_its_way():
    async def scenario():
        broker = await with_gang()
        await broker.open_gate(1, last=True)
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        await broker.lift_gate(2)  # Tune has the second one, its client has not submitted it yet
        await broker.finish("a", 1, "completed", "")
        idle = await ask(broker, 0.01)
        await broker.submit(assignment("b"))
        late = await ask(broker, 1)
        await broker.finish("b", 1, "completed", "")
        return idle, late.trial_id, await ask(broker, 1)

    assert played(scenario) == (GangOrder.WAIT, "b", GangOrder.CLOSE)


def test_a_trial_whose_client_was_lost_on_its_way_is_not_waited_for():
    async def scenario():
        broker = await with_gang()
        await broker.open_gate(2, last=True)
        await broker.submit(assignment("a"))
        await broker.lift_gate(2)
        await broker.cancel("b", "failed", "its Tune client was lost")
        first = await ask(broker, 1)
        await broker.finish("a", 1, "completed", "")
        return first.trial_id, await ask(broker, 1)

    assert played(scenario) == ("a", GangOrder.CLOSE)


def test_what_an_earlier_driver_has_heard_is_no_news_and_its_time_counts():
    async def scenario():
        broker = await with_gang(trial_timeout_s=10)
        known = replace(assignment("a", attempt=2), rows={1: {"epoch": 1}, 2: {"epoch": 2}})
        await broker.submit(known)
        await ask(broker, 1)
        for epoch in (1, 2, 3):  # the loop repeats what its checkpoint holds
            await broker.report("a", 2, {"epoch": epoch}, None)
        rows = [await broker.next_row("a", 1), await broker.next_row("a", 1)]
        await broker.submit(replace(assignment("b"), spent=11))
        await ask(broker, 1)
        broker.silent()
        return rows, states(await broker.events(0, 0))

    rows, ended = played(scenario)
    assert rows == [TrialNews(row={"epoch": 3}), TrialNews(end="completed")]
    assert ended["b"] == ("failed", "it took longer than 10 s")


def test_a_gang_that_is_not_started_again_is_not_hoped_for():
    async def scenario():
        broker = await with_gang(isolation="fresh_gang", max_failures=9)
        await rise(broker, "h")
        await broker.open_gate(2, last=True)
        await broker.submit(assignment("a"))
        await broker.submit(assignment("b"))
        await ask(broker, 1)
        await ask(broker, 1, "h")
        await broker.lift_gate(2)
        await broker.finish("a", 1, "completed", "")
        await ask(broker, 1)  # sent home: the other one is enough for what is left
        again = await broker.starts_again("g", None)
        hope = await broker.stranded()
        for _ in range(3):
            await broker.starts_again("h", "its node is gone")
        return again, hope, await broker.stranded()

    assert played(scenario) == (
        False,
        None,
        "h: failed to start 3 times in a row; last error: its node is gone",
    )


def test_a_fresh_gang_runs_one_trial_and_is_started_again_while_trials_are_left():
    async def scenario():
        broker = await with_gang(isolation="fresh_gang")
        await broker.open_gate(1, last=True)
        await broker.submit(assignment("a"))
        await broker.submit(assignment("b"))
        await ask(broker, 1)
        await broker.finish("a", 1, "completed", "")
        home, more = await ask(broker, 1), await broker.starts_again("g", None)
        await rise(broker, incarnation="j")
        await ask(broker, 1, incarnation="j")
        await broker.finish("b", 1, "completed", "")
        await broker.lift_gate(2)
        await ask(broker, 1, incarnation="j")
        return home, more, await broker.starts_again("g", None)

    assert played(scenario) == (GangOrder.CLOSE, True, False)


def test_time_is_counted_over_all_attempts_and_ends_the_trial_not_the_gang():
    async def scenario():
        broker = await with_gang(trial_timeout_s=0.05)
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        await asyncio.sleep(0.03)
        await broker.fail("a", 1, "why", False)
        await ask(broker, 1)
        await asyncio.sleep(0.03)
        silent = broker.silent()
        return silent, states(await broker.events(0, 0)), await broker.check("a", 2)

    silent, ended, stop = played(scenario)
    assert (silent, stop) == ([], True)
    assert ended == {"a": ("failed", "it took longer than 0.05 s (2 times)")}


def test_letting_go_ends_no_trial_but_wakes_its_client():
    async def scenario():
        broker = await with_gang()
        await broker.submit(assignment("a"))
        await ask(broker, 1)
        await broker.abandon()
        return await broker.next_row("a", 1), states(await broker.events(0, 0))

    assert played(scenario) == (TrialNews(end="abandoned"), {})


def test_a_trial_with_a_pause_stops_there_and_goes_on_in_its_next_attempt():
    async def scenario():
        broker = await with_gang()
        await broker.submit(replace(assignment("a"), until=1))
        await ask(broker, 1)
        stop = await broker.report("a", 1, {"epoch": 1}, "c")
        await broker.finish("a", 1, "stopped", "")
        await broker.submit(assignment("a", attempt=2))
        again = await ask(broker, 1)
        on = [await broker.report("a", 2, {"epoch": epoch}, "c") for epoch in (1, 2, 3)]
        return stop, again.attempt, on, await broker.events(0, 1)

    stop, attempt, on, events = played(scenario)
    assert (stop, attempt, on) == (True, 2, [False, False, False])
    assert [event.kind for event in events if not isinstance(event, Reported)] == [
        "gang_up", "assigned", "paused", "assigned", "ended",
    ]  # fmt: skip
    assert states(events) == {"a": ("completed", "")}


def test_a_paused_trial_can_be_stopped():
    async def scenario():
        broker = await with_gang()
        await broker.submit(replace(assignment("a"), until=1))
        await ask(broker, 1)
        await broker.report("a", 1, {"epoch": 1}, "c")
        await broker.stop_all("stopped", "interrupted")
        return await broker.events(0, 1)

    assert states(played(scenario)) == {"a": ("stopped", "interrupted")}


def test_a_gang_that_has_nothing_left_to_do_is_closed_in_order_and_one_that_cannot_work_is_not():
    async def scenario():
        broker = await with_gang()
        await rise(broker, "h", problem="it cannot see the folder")
        await broker.close()
        await ask(broker, 1)
        await broker.submit(assignment("late"))
        return await broker.stranded(), await broker.events(0, 0)

    stranded, events = played(scenario)
    closed = {event.gang: event.orderly for event in events if isinstance(event, GangClosed)}
    assert closed == {"h": False, "g": True}
    assert stranded == "h: it cannot see the folder"


def test_gangs_that_all_ended_in_order_are_said_to_have_shut_down():
    async def scenario():
        broker = await with_gang()
        await broker.close()
        await ask(broker, 1)
        await broker.submit(assignment("late"))
        return await broker.stranded()

    assert played(scenario) == "all gangs had shut down"


def test_a_gang_on_a_full_disk_is_closed_and_its_trial_has_not_failed():
    async def scenario():
        broker = await with_gang(max_failures=0)
        await rise(broker, "other")
        await broker.submit(assignment("a"))
        work = await ask(broker, 1)
        await broker.give_up("a", work.attempt, "no room")
        closed = await ask(broker, 1)
        stale = await broker.check("a", work.attempt)
        again = await ask(broker, 1, "other")
        await broker.give_up("a", again.attempt, "no room either")
        seen = [event.kind for event in await broker.events(0, 0.1)]
        return closed, stale, again, await broker.stranded(), seen

    closed, stale, again, stranded, seen = played(scenario)
    assert (closed, stale) == (GangOrder.CLOSE, True)
    assert (again.trial_id, again.attempt, again.failures) == ("a", 2, 0)
    assert stranded == "g: no room; other: no room either"
    assert "ended" not in seen
    assert "retry" not in seen
