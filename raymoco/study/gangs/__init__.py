"""Warm gangs and the broker in front of them.

pool starts and ends the TorchTrainers; entry and worker are what each of them runs; broker hands
out tickets, hears reports and counts failures; roster knows the gangs, watch their silence, and
gate says when fewer trials are left than gangs. Nothing is imported here: Tune's clients need the
tickets, and would wait for torch.
"""
