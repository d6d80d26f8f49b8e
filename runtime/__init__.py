"""Local processes: start, watch and stop Triton and the cache server; Triton's control API.

Nothing is re-exported here on purpose: the gateway imports ``runtime.triton_control`` alone
and must not load the code that starts processes.
"""
