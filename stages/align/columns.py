"""The columns of metrics/align.csv."""

COLUMNS = (
    "update", "epoch", "loss", "margin", "accuracy", "learning_rate", "gradient_norm",
    "valid_accuracy", "valid_margin", "real_bits_per_token",
)  # fmt: skip
HEADER = ",".join(COLUMNS) + "\n"
