"""The mobile's file of answers and of what its policy has learnt."""
