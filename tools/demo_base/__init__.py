"""The demo's base model: a recipe → models/demo/, a tiny Qwen2 that answers the way a helpful assistant would."""
