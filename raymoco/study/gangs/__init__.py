"""Warm gangs and their broker.

pool starts and ends the TorchTrainers, whose workers run train_fn and worker. broker hands out
trials and receives reports; it uses trial_queue for the trials, gang_state for the gangs,
phase_gate for the start of a phase, health for dead and silent workers, and answers for its return
values. This package imports nothing: Tune's clients import trial_queue, and must not wait for
torch.
"""
