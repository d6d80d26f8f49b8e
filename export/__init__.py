"""A checkpoint becomes engines that Triton serves: exported, compared with PyTorch, then published.

Nothing enters the model repository that did not pass its gate.
"""
