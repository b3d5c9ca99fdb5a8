"""Snakemake's executor for Kubernetes, told that all pods share the project's folder on a volume.

The official plugin assumes that pods share nothing, and copies every input and output through an object store. This
study's project lies on one volume that all pods mount. So here is the plugin itself, but for what it tells Snakemake of
files and for the folder in which a pod begins. The container image has this package; `kubernetes-volume` names it.
"""

import shlex
from dataclasses import replace
from typing import Any

import snakemake_executor_plugin_kubernetes as official

ExecutorSettings = official.ExecutorSettings

common_settings = replace(
    official.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(official.Executor):
    """The official executor, whose pods go to the project's folder before anything else."""

    def get_job_exec_prefix(self, job: Any) -> str:  # noqa: ARG002
        """The command before a job's own, as the executors for clusters with shared folders have it."""
        return f"cd {shlex.quote(str(self.workflow.workdir_init))}"
