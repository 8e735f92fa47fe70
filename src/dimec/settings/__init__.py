"""What determines a run: settings, and the exits they stand for."""
