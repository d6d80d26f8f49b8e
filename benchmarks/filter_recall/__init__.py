"""Recall and cost of the gateway's index under filters and at depth, against brute force and bare FAISS."""
