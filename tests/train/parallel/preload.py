"""What processes of these tests are forked with: imported once, without starting a thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest  # noqa: E402, F401
import torch  # noqa: E402, F401
import torch._dynamo  # noqa: E402, F401  a second of processor time in every process otherwise
import torch.distributed.fsdp  # noqa: E402, F401
import torch.distributed.tensor.parallel  # noqa: E402, F401

import groundup.cli  # noqa: E402, F401
import groundup.evaluate  # noqa: E402, F401
import groundup.train  # noqa: E402, F401
import groundup.train.parallel.apply  # noqa: E402, F401
