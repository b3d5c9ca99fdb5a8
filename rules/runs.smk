# One job for each cohort, vital sign, model, arm and seed.

RUN = f"{RESULTS}/runs/{{cohort}}/{{vital}}/{{model}}/{{arm}}/seed{{seed}}"
RUN_RECORDS = [
    RUN.format(cohort=run.cohort, vital=run.vital, model=run.model, arm=run.arm, seed=run.seed) + "/run.json"
    for run in study.runs()
]


def run_settings(wildcards):
    """The settings file of a run: one for each family, so that editing a family re-runs that family alone."""
    return step_settings(
        RESULTS,
        "run_arm",
        ["adaptation", "training", "forecast"],
        family_code(wildcards.model),
        family_of(wildcards.model),
    )


rule adapt_and_forecast:
    input:
        settings=run_settings,
        windows=rules.make_windows.output.windows,
        weights="weights/{model}/model.safetensors",
    output:
        adapter=directory(f"{RUN}/adapter"),
        forecasts=f"{RUN}/forecasts.parquet",
        record=f"{RUN}/run.json",
    log:
        f"logs/{study.dataset}/run_arm/{{cohort}}-{{vital}}-{{model}}-{{arm}}-seed{{seed}}.log",
    benchmark:
        f"logs/{study.dataset}/run_arm/{{cohort}}-{{vital}}-{{model}}-{{arm}}-seed{{seed}}.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    threads: job_threads
    resources:
        gpu=1,
    wildcard_constraints:
        arm="|".join(arm.name for arm in study.arm_list() if arm.trains) or "none",
    params:
        dataset=study.dataset,
        tracking=study.tracking.uri,
        folder=subpath(output.record, parent=True),
        base="weights/{model}",
    message:
        "{wildcards.model}, {wildcards.arm}: {wildcards.vital} of {wildcards.cohort}, seed {wildcards.seed}"
    shell:
        "python -m workflow_scripts.run_arm --dataset {params.dataset} --cohort {wildcards.cohort}"
        " --vital {wildcards.vital} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --windows {input.windows} --weights {params.base:q} --settings {input.settings}"
        " --tracking {params.tracking:q} --output {params.folder} 2> {log}"


use rule adapt_and_forecast as forecast_zero_shot with:
    output:
        forecasts=f"{RUN}/forecasts.parquet",
        record=f"{RUN}/run.json",
    wildcard_constraints:
        arm="zero-shot",


use rule adapt_and_forecast as forecast_naive with:
    input:
        settings=run_settings,
        windows=rules.make_windows.output.windows,
    output:
        forecasts=f"{RUN}/forecasts.parquet",
        record=f"{RUN}/run.json",
    threads: 1
    resources:
        gpu=0,
    wildcard_constraints:
        arm=NAIVE_ARM,
    params:
        dataset=study.dataset,
        tracking=study.tracking.uri,
        folder=subpath(output.record, parent=True),
        base="",


rule runs:
    input:
        records=RUN_RECORDS,
