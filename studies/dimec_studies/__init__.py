"""The paper's tables and figures, and two studies beyond it, each by one command."""
