"""One room per box in dvc.yaml: files in, files out."""
