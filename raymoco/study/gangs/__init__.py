"""Warm gangs and the broker in front of them.

pool starts and ends the TorchTrainers; train_fn and worker are what each of them runs; broker hands
out trials and takes reports, with trial_queue for the trials, gang_state for the gangs, phase_gate
for the start of a phase, health for dead and silent workers, answers for what it returns. Nothing
is imported here: Tune's clients import trial_queue, and must not wait for torch.
"""
