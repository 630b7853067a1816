"""Text to token ids and back: the split into chunks, byte pair encoding, the tokenizer and its file."""
