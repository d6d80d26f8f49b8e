"""``make gpu-check``: what one CUDA machine does with the towers and with the index, measured once.

    __main__     the command line             parts      one process a part, with its budget
    machine      what is installed            ceilings   what the GPU can do at most
    subjects     the towers under test        counting   their FLOPs and bytes, and the floor from both
    exporting    ONNX in every precision      ladder     which engine this machine allows
    engines      engines behind one interface gating     the export gate on each of them
    contenders   torch, eager to CUDA graphs  clock      interleaved rounds and their statistics
    speed        all of them, by shape        search     FAISS and exact search on clustered vectors
    result       the JSON file                table      docs/gpu.md from all such files

Every part runs in a process of its own and saves as it goes: a crash, a hang or an absent
package costs that part and leaves its cause in the result.
"""
