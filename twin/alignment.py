"""What preference training came to, in one sentence: a run → text for the summary and the note."""

from twin.runs import Run


def alignment(run: Run) -> str | None:
    """Return what `align` did to the trained adapter; None if it passed it through."""
    if run.inputs["align"]["params"].get("align", {}).get("method", "none") == "none":
        return None
    told = run.metrics("align")
    bits, updates = told["real_replies"]["bits_per_token"], told["updates"]
    alarm = "; they were DISPLACED on the way" if told["displacement"]["alarm"] else ""
    return (
        f"{told['method']} on {told['pairs']['train']} pairs, the {told['kept']} kept (update {updates['best']} of "
        f"{updates['run']}): {bits['before']:.3f} → {bits['after']:.3f} bits per token of real held-out replies{alarm}"
    )
