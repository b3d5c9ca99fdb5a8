# Your own tables: what the report says of a cohort is made of its table.


rule describe_own_cohort:
    input:
        settings=own_description_settings,
        cohort=source.cohort,
        content=source_of_windows,
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
        "../envs/study.yaml"
    message:
        "Describe the cohort {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.describe_cohort --cohort {input.cohort} --settings {input.settings}'
        " --table {output.table} --page {output.page} --figure {output.figure} &> {log}"
