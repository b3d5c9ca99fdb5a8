# From raw MIMIC-III tables to windows.


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
        "../envs/study.yaml"
    params:
        folder=lambda wildcards, output: parent(output.tables),
    message:
        "Simulate a MIMIC-III folder"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.simulate_mimic --settings {input.settings} --output {params.folder} &> {log}'


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
        '"$PYTHON" -m workflow_scripts.steps.simulate_monitor --settings {input.settings} --output {params.folder} &> {log}'


rule check_mimic:
    input:
        tables=raw_tables(),
    log:
        f"logs/{study.dataset}/check_mimic.txt",
    conda:
        "../envs/study.yaml"
    params:
        raw=raw_folder(study.dataset),
    message:
        "Check the MIMIC-III folder; {log} keeps the report"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.check_mimic --raw {params.raw:q} 2>&1 | tee {log}'


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
        '"$PYTHON" -m workflow_scripts.steps.fetch_mimic_demo --output {params.folder} &> {log}'


rule extract_events:
    input:
        settings=step_settings(
            DATA, "extract_events", ["extraction"], [PACKAGE / "sources/mimic_iii/items.yaml"]
        ),
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
        '"$PYTHON" -m workflow_scripts.steps.extract_events --raw {params.raw:q} --settings {input.settings}'
        " --events {params.events} &> {log}"


rule label_cohort:
    input:
        settings=lambda wildcards: cohort_settings("label_cohort", wildcards.cohort),
        definition=lambda wildcards: study.own_cohorts.get(wildcards.cohort, []),
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
    threads: 2
    params:
        events=lambda wildcards, input: parent(input.events),
        own=lambda wildcards, input: (
            f"--definition {shlex.quote(input.definition)}" if input.definition else ""
        ),
    message:
        "Label the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.label_cohort --events {params.events} --cohort {wildcards.cohort}'
        " {params.own} --settings {input.settings} --threads {threads}"
        " --output {output.cohort} --attrition {output.attrition} &> {log}"


rule describe_cohort:
    input:
        settings=lambda wildcards: cohort_settings("describe_cohort", wildcards.cohort),
        events=EVENTS,
        cohort=rules.label_cohort.output.cohort,
        attrition=rules.label_cohort.output.attrition,
    output:
        table=f"{DATA}/cohorts/{{cohort}}.table_one.csv",
        page=f"{DATA}/cohorts/{{cohort}}.table_one.html",
        figure=report(
            f"{DATA}/cohorts/{{cohort}}.consort.svg",
            category="{cohort}",
            subcategory="cohort",
            labels={"figure": "flow chart"},
        ),
    log:
        f"logs/{study.dataset}/describe_cohort/{{cohort}}.log",
    benchmark:
        f"logs/{study.dataset}/describe_cohort/{{cohort}}.benchmark.tsv"
    conda:
        "../envs/study.yaml"
    threads: 2
    params:
        events=lambda wildcards, input: parent(input.events),
    message:
        "Describe the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.describe_cohort --events {params.events} --cohort {input.cohort}'
        " --attrition {input.attrition} --settings {input.settings} --threads {threads}"
        " --table {output.table} --page {output.page} --figure {output.figure} &> {log}"


rule make_windows:
    input:
        settings=step_settings(DATA, "make_windows", ["windows"], [PACKAGE / "sources/mimic_iii/items.yaml"]),
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
        '"$PYTHON" -m workflow_scripts.steps.make_windows --values {input.values} --cohort {input.cohort}'
        " --vital {wildcards.vital} --settings {input.settings} --output {output.windows} &> {log}"


rule simulated_tables:
    input:
        tables=SIMULATED_RAW,


rule data:
    input:
        windows=expand(rules.make_windows.output.windows, cohort=study.cohorts, vital=study.vitals),
        descriptions=DESCRIPTIONS,
