"""What the towers learn from: clicked pairs, keywords, same-style pairs, misspellings."""
