"""Will it fit, and what would: a model, parameters, a budget → a predicted need, or a refusal with the ways out.

`shape` counts a model from its config.json, `memory` predicts, `candidates` lists what fits, `pairs` does both for
preference training, `ways` says what to run instead, `preflight` refuses before a run and explains a run that failed,
`advice` says what the data are enough for. `train`, `align` and `twin plan` use it.
"""
