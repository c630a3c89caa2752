"""Ctrl-C and SIGTERM, really sent to this process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from raymoco.engine.signals import Interrupts, handlers_kept


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_at_once_and_is_remembered(number):
    signals = Interrupts()
    with signals.installed(), pytest.raises(KeyboardInterrupt):
        send(number)
    assert signals.heard


def test_what_is_written_whole_is_not_interrupted_but_for_what_lets_signals_through():
    signals = Interrupts()
    done = []
    with signals.installed():
        with signals.held():
            send()
            done.append("written whole")
            with pytest.raises(KeyboardInterrupt), signals.let_through():
                done.append("never")  # it has come already
            done.append("written too")
        assert signals.heard
    assert done == ["written whole", "written too"]


def test_a_signal_interrupts_what_lets_it_through_in_the_middle():
    signals = Interrupts()
    done = []

    def interruptible():
        with signals.let_through():
            done.append("begun")
            send()
            done.append("never")

    with signals.installed(), signals.held():
        with pytest.raises(KeyboardInterrupt):
            interruptible()
        done.append("after")
    assert done == ["begun", "after"]


def test_the_handlers_from_before_are_back_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signals = Interrupts()
    with signals.installed(), signals.installed():
        assert signal.getsignal(signal.SIGTERM) == signals.hear
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_signal_ends_the_process_even_while_something_is_held():
    code = (
        "import os, signal\n"
        "from raymoco.engine.signals import Interrupts\n"
        "signals = Interrupts()\n"
        "with signals.installed(), signals.held():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('goes on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "goes on\n", "")


def test_in_another_thread_nothing_is_installed_and_nothing_fails():
    seen = []

    def work():
        before = signal.getsignal(signal.SIGINT)
        with Interrupts().installed():
            seen.append(signal.getsignal(signal.SIGINT) == before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


def test_the_command_around_a_run_hears_too_so_that_the_next_signal_ends_it():
    outer, inner = Interrupts(), Interrupts()
    with outer.installed():
        with inner.installed(), pytest.raises(KeyboardInterrupt):
            send()
        assert outer.heard
        assert signal.getsignal(signal.SIGTERM) == outer.hear


def test_handlers_that_a_library_sets_are_taken_back():
    signals = Interrupts()
    with signals.installed():
        with handlers_kept():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        assert signal.getsignal(signal.SIGTERM) == signals.hear
    with handlers_kept():  # of a notebook: a library's handlers stay
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    signal.signal(signal.SIGTERM, before)


def test_a_signal_while_a_librarys_handler_is_there_interrupts_all_the_same():
    signals = Interrupts()

    def as_ray_init_does():
        with handlers_kept():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
            send(signal.SIGTERM)

    with signals.installed(), pytest.raises(KeyboardInterrupt):
        as_ray_init_does()
    assert signals.heard


def test_any_command_ends_by_sigterm_with_a_word():
    code = (
        "import os, signal, sys, raymoco.cli as cli\n"
        "cli.app.command('wait')(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "sys.argv = ['raymoco', 'wait']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
