"""What makes the shipped fixtures, the demo export and the demo base model: run rarely, by hand."""
