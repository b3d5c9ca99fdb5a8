#!/usr/bin/env bash
# The pin of uni2ts.txt: Snakemake runs this file alone, away from its folder.
set -euo pipefail
pip install --no-deps uni2ts==2.0.0
