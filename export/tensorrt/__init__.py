"""TensorRT plans: built in a process of their own, described by a manifest, refused where they do not fit.

build_process   the builder itself: standard library and tensorrt alone, run by a chosen interpreter
builder         our side of it: one graph to one plan, with its timing cache
installation    which interpreter has TensorRT, or what to install
plans           plan, graph, manifest and machine must agree
machine         this machine's GPU
runtime_engine  runs a plan, for the gate

Only ``build_process`` and ``runtime_engine`` touch TensorRT, each in the process where it is.
"""
