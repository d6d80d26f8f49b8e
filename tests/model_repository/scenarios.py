"""One batch of good and bad requests: answered by the runner alone and by the real server alike."""

import numpy as np
from support.triton import query_arrays

GOOD = [[5], [7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [99, 0]]
BAD = {
    "outside the vocabulary": query_arrays([3, 100]),
    "has 49 tokens, the model takes 48": query_arrays([1] * 49),
    "is not ones followed by zeros": {
        "input_ids": np.array([[1, 2, 3]], dtype=np.int64),
        "attention_mask": np.array([[1, 0, 1]], dtype=np.int64),
    },
    "send both as [rows, length]": {
        "input_ids": np.array([[1, 2, 3]], dtype=np.int64),
        "attention_mask": np.array([[1, 1]], dtype=np.int64),
    },
    "has no 1": {
        "input_ids": np.array([[1, 2]], dtype=np.int64),
        "attention_mask": np.array([[0, 0]], dtype=np.int64),
    },
}
