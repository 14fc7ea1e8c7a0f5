"""Online prediction: inputs are checked (no torch), gathered into micro-batches (no torch), and computed (torch)."""
