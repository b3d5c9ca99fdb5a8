#!/usr/bin/env bash
# The pins of without_dependencies.txt: Snakemake runs this file alone, away from its folder.
set -euo pipefail
pip install --no-deps uni2ts==2.0.0 darts==0.48.1
