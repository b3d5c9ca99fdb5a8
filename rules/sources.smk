# From the raw files of a source other than MIMIC-III to vital signs, stays and cohorts.


rule read_source:
    input:
        settings=step_settings(
            DATA,
            "read_source",
            [],
            [type(source).__module__],
            source=study.source_entry().model_dump(mode="json", exclude={"path"}),
            plausible_ranges=study.extraction.plausible_ranges,
            option_files=[file_hash(path) for path in source.option_files()],
        ),
        raw=raw_tables(),
    output:
        values=source.values,
        stays=f"{DATA}/stays.parquet",
        reading=f"{DATA}/reading.json",
    log:
        f"{LOGS}/read_source.log",
    benchmark:
        f"{LOGS}/read_source.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        dataset=study.dataset,
        raw=raw_folder,
        folder=subpath(output.stays, parent=True),
    message:
        "Read the vital signs and stays of {params.dataset}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.read_source --dataset {params.dataset} --raw {params.raw:q}'
        " --settings {input.settings} --output {params.folder} &> {log}"


rule label_source_cohort:
    input:
        settings=source_label_settings,
        values=source.values,
        stays=rules.read_source.output.stays,
    output:
        cohort=source.cohort,
        attrition=f"{DATA}/cohorts/{{cohort}}.attrition.csv",
    log:
        COHORT_LOG,
    benchmark:
        COHORT_LOG.replace(".log", ".benchmark.tsv")
    conda:
        ENVIRONMENT
    threads: 2
    message:
        "Label the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.label_source_cohort --values {input.values} --stays {input.stays}'
        " --cohort {wildcards.cohort} --settings {input.settings} --threads {threads}"
        " --output {output.cohort} --attrition {output.attrition} &> {log}"


rule describe_source_cohort:
    input:
        settings=source_description_settings,
        cohort=rules.label_source_cohort.output.cohort,
        attrition=rules.label_source_cohort.output.attrition,
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
    message:
        "Describe the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.describe_cohort --cohort {input.cohort}'
        " --attrition {input.attrition} --settings {input.settings}"
        " --table {output.table} --page {output.page} --figure {output.figure} &> {log}"
