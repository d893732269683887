"""Loads a compiled pipeline and runs it by KFP's own local runner, each container as a process (by check.py, in KFP's environment).

    python3 run_pipeline.py PIPELINE.YAML TRIPCAST ROOT PARAMETERS

KFP resolves the placeholders, orders the tasks and hands artifacts over. In place of a container of the image, the binary TRIPCAST is run
with the container's arguments. PARAMETERS is a JSON object. Prints the arguments of each container as a JSON array a line.
"""

import json
import os
import subprocess
import sys

from kfp import components, local
from kfp.local import status, subprocess_task_handler

ENTRYPOINT = "/usr/local/bin/tripcast"


class ProcessOfImage(subprocess_task_handler.SubprocessTaskHandler):
    """Runs what a container of the image would run. KFP's own handler of subprocesses refuses all but Python components."""

    tripcast: str

    def __init__(self, image, full_command, **others):
        self.image, self.full_command = image, full_command

    def run(self) -> status.Status:
        entrypoint, *arguments = self.full_command
        if entrypoint != ENTRYPOINT:
            raise RuntimeError(f"{self.image} is started by {entrypoint}, expected {ENTRYPOINT}")
        os.write(REPORT, f"{json.dumps(arguments)}\n".encode())
        done = subprocess.run([self.tripcast, *arguments], stdout=sys.stderr)
        return status.Status.SUCCESS if done.returncode == 0 else status.Status.FAILURE


# KFP captures what is printed while a task runs.
REPORT = os.dup(sys.stdout.fileno())
pipeline, ProcessOfImage.tripcast, root, parameters = sys.argv[1:]
subprocess_task_handler.SubprocessTaskHandler = ProcessOfImage
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
components.load_component_from_file(pipeline)(**json.loads(parameters))
