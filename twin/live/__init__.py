"""A live reply: messages → pieces of text and what lies behind them."""

from twin.live.interface import Action, Answerer, Behind, Options

__all__ = ["Action", "Answerer", "Behind", "Options"]
