# From raw tables of a source to windows.


rule simulate_mimic:
    input:
        settings=step_settings(
            "data/raw",
            "simulate_mimic",
            ["simulator"],
            [
                PACKAGE / "sources/mimic_iii/items.yaml",
                PACKAGE / "sources/mimic_iii/simulator/dictionaries.yaml",
            ],
        ),
    output:
        tables=SIMULATED_RAW,
    log:
        "logs/simulate_mimic.log",
    benchmark:
        "logs/simulate_mimic.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        folder=folder_of_tables,
    message:
        "Simulate a MIMIC-III folder"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.simulate_mimic --settings {input.settings} --output {params.folder} &> {log}'


rule simulate_monitor:
    input:
        settings=step_settings("data/raw", "simulate_monitor", ["simulator"]),
    output:
        values="data/raw/simulated-monitor/vitals.parquet",
        cohorts=expand("data/raw/simulated-monitor/cohorts/{cohort}.parquet", cohort=["all", "septic"]),
    log:
        "logs/simulate_monitor.log",
    benchmark:
        "logs/simulate_monitor.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.values, parent=True),
    message:
        "Simulate a monitor's five-minute export"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.simulate_monitor --settings {input.settings} --output {params.folder} &> {log}'


rule check_mimic:
    input:
        tables=raw_tables(),
    log:
        f"{LOGS}/check_mimic.txt",
    conda:
        ENVIRONMENT
    params:
        raw=raw_folder,
    message:
        "Check the MIMIC-III folder; {log} keeps the report"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.check_mimic --raw {params.raw:q} 2>&1 | tee {log}'


rule check_data:
    input:
        settings=step_settings(
            DATA,
            "check_data",
            ["cohorts", "vitals", "windows"],
            [type(source).__module__],
            source=study.source_entry().model_dump(mode="json"),
            plausible_ranges=study.extraction.plausible_ranges,
        ),
        raw=source.made_raw_files() or [],
    log:
        f"{LOGS}/check_data.txt",
    conda:
        "../envs/study.yaml"
    params:
        dataset=study.dataset,
    message:
        "Check the data set {params.dataset}; {log} keeps the report"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.check_data --dataset {params.dataset} --settings {input.settings} 2>&1'
        " | tee {log}"


rule fetch_mimic_demo:
    output:
        sums="data/raw/mimic-iii-demo/SHA256SUMS.txt",
    log:
        "logs/fetch_mimic_demo.log",
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.sums, parent=True),
    message:
        "Download the open MIMIC-III demo from PhysioNet"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.fetch_mimic_demo --output {params.folder} &> {log}'


rule fetch_challenge_2019:
    output:
        archive="data/raw/challenge-2019/challenge-2019-1.0.0.zip",
    log:
        "logs/fetch_challenge_2019.log",
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.archive, parent=True),
    message:
        "Download the open Challenge 2019 from PhysioNet"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.fetch_challenge_2019 --output {params.folder} &> {log}'


if source.labels_cohorts:

    include: "events.smk"


if source.cohorts:

    include: "sources.smk"

elif not source.labels_cohorts:

    include: "own_tables.smk"


rule make_windows:
    input:
        settings=windows_settings(),
        values=source.values,
        cohort=source.cohort,
        source=source_of_windows,
    output:
        windows=f"{DATA}/windows/{{cohort}}/{{vital}}.parquet",
        attrition=f"{DATA}/windows/{{cohort}}/{{vital}}.attrition.csv",
        check=f"{DATA}/windows/{{cohort}}/{{vital}}.check.json",
    log:
        f"{LOGS}/make_windows/{{cohort}}-{{vital}}.log",
    benchmark:
        f"{LOGS}/make_windows/{{cohort}}-{{vital}}.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        reading=reading_option,
    message:
        "Make windows of {wildcards.vital} for {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.make_windows --values {input.values} --cohort {input.cohort}'
        " {params.reading} --vital {wildcards.vital} --settings {input.settings} --output {output.windows}"
        " --attrition {output.attrition} &> {log}"


rule simulated_tables:
    input:
        tables=SIMULATED_RAW,


rule data:
    input:
        windows=expand(rules.make_windows.output.windows, cohort=study.cohorts, vital=study.vitals),
        descriptions=DESCRIPTIONS,
