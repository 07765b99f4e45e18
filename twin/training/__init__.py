"""What training by replies and training by preference share: order, updates, memory, checkpoints, saving."""
