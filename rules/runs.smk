# One job for each cohort, vital sign, model, arm and seed.


rule adapt_and_forecast:
    input:
        settings=run_settings,
        windows=rules.make_windows.output.windows,
        weights=base_weights,
    output:
        adapter=directory(f"{RUN}/adapter"),
        forecasts=f"{RUN}/forecasts.parquet",
        validation_forecasts=f"{RUN}/validation_forecasts.parquet",
        record=RUN_RECORD,
    log:
        RUN_LOG,
    wildcard_constraints:
        arm=TRAINING_ARM_PATTERN,
    priority: 1
    conda:
        ENVIRONMENT
    threads: job_threads
    resources:
        gpu=1,
    params:
        dataset=study.dataset,
        folder=subpath(output.record, parent=True),
        preload=preload,
        benchmark=RUN_BENCHMARK,
        base=base_weights_option,
    message:
        "{wildcards.model}, {wildcards.arm}: {wildcards.vital} of {wildcards.cohort}, seed {wildcards.seed}"
    shell:
        '"$PYTHON" -m workflow_scripts.runtime.warm --preload {params.preload} --benchmark {params.benchmark}'
        " run_arm --dataset {params.dataset} --cohort {wildcards.cohort}"
        " --vital {wildcards.vital} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --windows {input.windows} {params.base} --settings {input.settings}"
        " --output {params.folder} &> {log}"


use rule adapt_and_forecast as forecast_zero_shot with:
    output:
        forecasts=f"{RUN}/forecasts.parquet",
        validation_forecasts=f"{RUN}/validation_forecasts.parquet",
        record=RUN_RECORD,
    wildcard_constraints:
        arm=ZERO_SHOT.name,
    priority: 0


# Long runs begin first, so that short ones fill the devices at the end.
use rule adapt_and_forecast as train_from_scratch with:
    input:
        settings=run_settings,
        windows=rules.make_windows.output.windows,
    wildcard_constraints:
        model="|".join(SCRATCH_VARIANTS),
        arm=SCRATCH_ARM_PATTERN,
    priority: 2
    params:
        dataset=study.dataset,
        folder=subpath(output.record, parent=True),
        preload=preload,
        benchmark=RUN_BENCHMARK,
        base="",


use rule train_from_scratch as forecast_baseline with:
    output:
        forecasts=f"{RUN}/forecasts.parquet",
        validation_forecasts=f"{RUN}/validation_forecasts.parquet",
        record=RUN_RECORD,
    wildcard_constraints:
        model="|".join(BASELINES),
        arm=BASELINE.name,
    priority: 0
    threads: 1
    resources:
        gpu=0,


# What was learned on one cohort, on the test windows of another.
rule evaluate_transfer:
    input:
        settings=transfer_settings,
        adapter=trained_adapter,
        record=trained_record,
        windows=windows_to_evaluate,
        own_windows=windows_of_training,
        weights=base_weights,
    output:
        forecasts=f"{TRANSFER}/forecasts.parquet",
        record=f"{TRANSFER}/record.json",
    log:
        f"{LOGS}/evaluate_transfer/{TRANSFER_NAME}.log",
    conda:
        ENVIRONMENT
    threads: job_threads
    resources:
        gpu=1,
    params:
        dataset=study.dataset,
        folder=subpath(output.record, parent=True),
        preload=preload,
        benchmark=f"{LOGS}/evaluate_transfer/{TRANSFER_NAME}.benchmark.tsv",
        base=subpath(input.weights, parent=True),
    message:
        "{wildcards.model}, {wildcards.arm}: {wildcards.vital}, from {wildcards.trained_on} to"
        " {wildcards.evaluated_on}, seed {wildcards.seed}"
    shell:
        '"$PYTHON" -m workflow_scripts.runtime.warm --preload {params.preload} --benchmark {params.benchmark}'
        " evaluate_transfer --dataset {params.dataset}"
        " --trained-on {wildcards.trained_on} --evaluated-on {wildcards.evaluated_on}"
        " --vital {wildcards.vital} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --adapter {input.adapter} --weights {params.base} --windows {input.windows}"
        " --own-windows {input.own_windows} --settings {input.settings} --output {params.folder} &> {log}"


rule runs:
    input:
        records=run_records(),
        transfers=transfer_records(),
