"""The page that `dvc plots show` fills, with Vega's scripts in it: `python -m tools.plots_page`, run rarely."""
