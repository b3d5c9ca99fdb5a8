# From MIMIC-III's tables to events and cohorts that SQL labels.


rule extract_events:
    input:
        settings=step_settings(
            DATA, "extract_events", ["extraction"], [PACKAGE / "sources/mimic_iii/items.yaml"]
        ),
        raw=raw_tables(),
    output:
        tables=EVENTS,
        reading=source.reading,
    log:
        f"{LOGS}/extract_events.log",
    benchmark:
        f"{LOGS}/extract_events.benchmark.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        raw=raw_folder,
        events=folder_of_tables,
    message:
        "Extract events from the raw tables"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.extract_events --raw {params.raw:q} --settings {input.settings}'
        " --events {params.events} &> {log}"


rule label_cohort:
    input:
        settings=label_settings,
        events=EVENTS,
    output:
        cohort=f"{DATA}/cohorts/{{cohort}}.parquet",
        attrition=f"{DATA}/cohorts/{{cohort}}.attrition.csv",
    log:
        f"{LOGS}/label_cohort/{{cohort}}.log",
    benchmark:
        f"{LOGS}/label_cohort/{{cohort}}.benchmark.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        events=events_folder,
        own=own_definition_option,
    message:
        "Label the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.label_cohort --events {params.events} --cohort {wildcards.cohort}'
        " {params.own} --settings {input.settings} --threads {threads}"
        " --output {output.cohort} --attrition {output.attrition} &> {log}"


rule describe_cohort:
    input:
        settings=description_settings,
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
        f"{LOGS}/describe_cohort/{{cohort}}.log",
    benchmark:
        f"{LOGS}/describe_cohort/{{cohort}}.benchmark.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    params:
        events=events_folder,
    message:
        "Describe the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.describe_cohort --events {params.events} --cohort {input.cohort}'
        " --attrition {input.attrition} --settings {input.settings} --threads {threads}"
        " --table {output.table} --page {output.page} --figure {output.figure} &> {log}"
