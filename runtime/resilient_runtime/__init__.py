"""What runs inside Lambda: pure decisions, thin stores and the entry point."""
