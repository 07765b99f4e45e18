"""Will it fit, and what would: a model, parameters, a budget → a predicted need, or a refusal with the ways out.

`shape` counts a model from its config.json, `memory` predicts, `candidates` lists what fits, `preflight` refuses before
a run and explains a run that failed, `advice` says what the data are enough for. `train` and `twin plan` use it.
"""
