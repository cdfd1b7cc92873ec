"""Measure the data plane: verdicts beside a constant answer and beside other packages, receipts, memory and counting."""
