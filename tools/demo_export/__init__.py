"""The demo's synthetic export: a seed → a table of conversations between Sam and an assistant, with known acts."""
