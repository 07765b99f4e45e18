"""Runs set side by side, prompt by prompt: stored outputs of two or more runs → differences, bounds and verdicts."""
