"""The gate that every engine passes before it is published: first numbers, then retrieval.

    samples      ordinary and hostile rows
    engine       whatever runs a tower, behind one interface
    numbers      vectors against PyTorch's, and against the same row in other company
    shop         products and queries
    retrieval    the answers against those of PyTorch's towers
    thresholds   what is asked of each precision, with the reasons
    verdict      measured against asked: a report, or a refusal that names the inputs

A candidate is gated as it will lie in the model repository: its files, and the tokenizer beside them.
"""
