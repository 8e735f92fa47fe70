"""A tier's folder: manifest, tokenizer, graphs, and what they take."""
