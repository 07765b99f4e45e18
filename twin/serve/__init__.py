"""A live twin over HTTP, as OpenAI's clients ask for it: requests → replies, one at a time."""
