"""The parameters of a run: params.yaml → one frozen dataclass per section.

Values live in `conf/`; types and bounds live here, each once. A stage imports the section it reads and
`load`; only the `config` stage knows them all (`twin.config.schema`).
"""
