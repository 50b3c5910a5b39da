"""What the user wrote → checked models."""
