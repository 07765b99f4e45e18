"""What a run asks and how an arm answers it: split rows and the prompt's recipe → questions, answers, likelihoods."""

from twin.asking.arm import Arm, Row, decoder
from twin.asking.asked import SPLITS, Asked, ask, split_rows
from twin.asking.said import Said

__all__ = ["SPLITS", "Arm", "Asked", "Row", "Said", "ask", "decoder", "split_rows"]
