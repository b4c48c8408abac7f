"""What a person does to a running system by hand, with a reason that is kept."""
