"""Words and pictures to vectors: tokenise or decode, gather concurrent queries, call Triton."""
