# From raw MIMIC-III tables to windows.


rule simulate_mimic:
    input:
        settings=step_settings(
            "data/raw",
            "simulate_mimic",
            ["simulator"],
            [PACKAGE / "mimic/concepts.yaml", PACKAGE / "mimic/simulator/dictionaries.yaml"],
        ),
    output:
        tables=SIMULATED_RAW,
    log:
        "logs/simulate_mimic.log",
    benchmark:
        "logs/simulate_mimic.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    params:
        folder=lambda wildcards, output: parent(output.tables),
    message:
        "Simulate a MIMIC-III folder"
    shell:
        "python -m workflow_scripts.simulate_mimic --settings {input.settings} --output {params.folder} &> {log}"


rule simulate_monitor:
    input:
        settings=step_settings("data/raw", "simulate_monitor", ["simulator"]),
    output:
        values=own_values(SIMULATED_MONITOR),
        cohorts=[own_cohort(SIMULATED_MONITOR, name) for name in MONITOR_COHORTS],
    log:
        "logs/simulate_monitor.log",
    benchmark:
        "logs/simulate_monitor.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    params:
        folder=subpath(output.values, parent=True),
    message:
        "Simulate a monitor's five-minute export"
    shell:
        "python -m workflow_scripts.simulate_monitor --settings {input.settings} --output {params.folder} &> {log}"


rule fetch_mimic_demo:
    output:
        sums="data/raw/mimic-iii-demo/SHA256SUMS.txt",
    log:
        "logs/fetch_mimic_demo.log",
    conda:
        "../envs/study.yaml"
    params:
        folder=subpath(output.sums, parent=True),
    message:
        "Download the open MIMIC-III demo from PhysioNet"
    shell:
        "python -m workflow_scripts.fetch_mimic_demo --output {params.folder} &> {log}"


rule extract_events:
    input:
        settings=step_settings(DATA, "extract_events", ["extraction"], [PACKAGE / "mimic/concepts.yaml"]),
        raw=raw_tables(),
    output:
        tables=EVENTS,
    log:
        f"logs/{study.dataset}/extract_events.log",
    benchmark:
        f"logs/{study.dataset}/extract_events.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    threads: 2
    params:
        raw=raw_folder(study.dataset),
        events=lambda wildcards, output: parent(output.tables),
    message:
        "Extract events from the raw tables"
    shell:
        "python -m workflow_scripts.extract_events --raw {params.raw:q} --settings {input.settings}"
        " --events {params.events} &> {log}"


rule label_cohort:
    input:
        settings=lambda wildcards: step_settings(
            DATA,
            "label_cohort",
            ["cohort", "vitals"],
            [PACKAGE / f"cohorts/definitions/{wildcards.cohort}.sql"],
            wildcards.cohort,
        ),
        events=EVENTS,
    output:
        cohort=f"{DATA}/cohorts/{{cohort}}.parquet",
        attrition=f"{DATA}/cohorts/{{cohort}}.attrition.csv",
    log:
        f"logs/{study.dataset}/label_cohort/{{cohort}}.log",
    benchmark:
        f"logs/{study.dataset}/label_cohort/{{cohort}}.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    params:
        events=lambda wildcards, input: parent(input.events),
    message:
        "Label the cohort {wildcards.cohort}"
    shell:
        "python -m workflow_scripts.label_cohort --events {params.events} --cohort {wildcards.cohort}"
        " --settings {input.settings} --output {output.cohort} --attrition {output.attrition} &> {log}"


rule make_windows:
    input:
        settings=step_settings(DATA, "make_windows", ["windows"], [PACKAGE / "mimic/concepts.yaml"]),
        values=VALUES,
        cohort=COHORT,
    output:
        windows=f"{DATA}/windows/{{cohort}}/{{vital}}.parquet",
    log:
        f"logs/{study.dataset}/make_windows/{{cohort}}-{{vital}}.log",
    benchmark:
        f"logs/{study.dataset}/make_windows/{{cohort}}-{{vital}}.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    message:
        "Make windows of {wildcards.vital} for {wildcards.cohort}"
    shell:
        "python -m workflow_scripts.make_windows --values {input.values} --cohort {input.cohort}"
        " --vital {wildcards.vital} --settings {input.settings} --output {output.windows} &> {log}"


rule simulated_tables:
    input:
        tables=SIMULATED_RAW,


rule windows:
    input:
        windows=expand(rules.make_windows.output.windows, cohort=study.cohorts, vital=study.vitals),
