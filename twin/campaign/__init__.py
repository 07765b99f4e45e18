"""Queues of experiments, walked by declared rules: a list of rows → DVC experiments, a winner, a table.

queue        the file: rows, rungs and rules in a closed vocabulary
world        what the walk asks for, and gets
engine       the walk, which knows neither DVC nor statistics
experiments  DVC: compose, run, look up, read
judging      verdicts of the paired tests → who is ahead
kept         verdicts that were found once
journal      what was tried and how long it took, so that a killed campaign goes on
report       metrics/campaign.json and its table
"""
