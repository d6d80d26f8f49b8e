import subprocess

import pytest
import torch

from export.tensorrt import machine
from export.tensorrt.machine import Machine, parse_query, require_machine, this_machine
from faults import NotFound


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("9.0, NVIDIA H200\n", Machine("9.0", "NVIDIA H200")),
        ("8.6, NVIDIA A10\n9.0, NVIDIA H200\n", Machine("8.6", "NVIDIA A10")),
        ("", None),
        ("No devices were found\n", None),
    ],
)
def test_nvidia_smis_first_device_is_read(answer, found):
    assert parse_query(answer) == found


def without_torch_cuda(monkeypatch, run):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.subprocess, "run", run)


def test_nvidia_smi_is_asked_where_torch_sees_no_gpu(monkeypatch):
    done = subprocess.CompletedProcess([], 0, stdout="9.0, NVIDIA H200\n")
    without_torch_cuda(monkeypatch, lambda *_, **__: done)
    assert this_machine() == require_machine() == Machine("9.0", "NVIDIA H200")


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.CalledProcessError(9, "nvidia-smi")])
def test_a_machine_without_gpu_has_none_and_the_fault_says_where_to_go(monkeypatch, error):
    def run(*_, **__):
        raise error

    without_torch_cuda(monkeypatch, run)
    assert this_machine() is None
    with pytest.raises(NotFound, match="the kind of GPU that will serve"):
        require_machine()


def test_torch_is_believed_before_nvidia_smi(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (12, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "some card")
    assert this_machine() == Machine("12.0", "some card")
