"""Much text: what a policy answers to millions of texts, file by file, resumable."""
