"""Blind rating in the browser: stored replies → a page on this machine → data/ratings/*.jsonl.

    material   what may be shown: replies by prompt, and catch items
    teaching   the same of replies that teach
    plan       which item shows what where, from a secret key alone
    journal    the unfinished session on disk, a line for each answer
    sitting    what a rater can do: answer, undo, end
    server     the page and its state over HTTP on the loopback

Nothing that the page is given tells which reply is whose, which item is a repeat, or how the count stands.
"""
