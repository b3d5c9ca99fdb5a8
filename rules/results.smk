# From run records to tables, figures and the report.

from workflow_scripts.reporting import captions


rule aggregate_metrics:
    input:
        settings=step_settings(
            f"{RESULTS}/summary",
            "aggregate_metrics",
            ["evaluation"],
            [MODEL_TABLE, EVENT_DEFINITIONS],
            runs=run_records(),
            transfers=finished(transfer_records()),
            site_runs=finished(site_records()),
            missing=missing_runs(),
        ),
        records=finished(run_records()),
        transfers=finished(transfer_records()),
        site_runs=finished(site_records()),
        site_windows=finished(site_windows()),
        windows=finished(rules.data.input.windows),
        cohorts=finished(expand(source.cohort, cohort=study.cohorts)),
    output:
        intervals=f"{RESULTS}/summary/intervals.csv",
        comparisons=f"{RESULTS}/summary/comparisons.csv",
        rank_threshold=f"{RESULTS}/summary/rank_threshold.csv",
        breakdown=f"{RESULTS}/summary/breakdown.csv",
        calibration=f"{RESULTS}/summary/calibration.csv",
        findings=f"{RESULTS}/summary/findings.csv",
        transfer=f"{RESULTS}/summary/transfer.csv",
        events=f"{RESULTS}/summary/events.csv",
        event_curves=f"{RESULTS}/summary/event_curves.csv",
        leaderboard=f"{RESULTS}/summary/leaderboard.csv",
        metrics=f"{RESULTS}/summary/metrics.csv",
        arms=directory(f"{RESULTS}/summary/arms"),
        plots=directory(f"{RESULTS}/summary/plots"),
    log:
        f"{LOGS}/aggregate_metrics.log",
    benchmark:
        f"{LOGS}/aggregate_metrics.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        windows=windows_folder,
        cohorts=cohorts_folder,
        summary=subpath(output.metrics, parent=True),
    message:
        "Collect the runs into tables"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.aggregate_metrics --settings {input.settings} --summary {params.summary}'
        " --windows {params.windows} --cohorts {params.cohorts:q} &> {log}"


rule make_report:
    input:
        settings=step_settings(
            f"{RESULTS}/summary",
            "make_report",
            [
                "dataset",
                "cohorts",
                "vitals",
                "windows",
                "training",
                "tuning",
                "forecast",
                "evaluation",
                "report",
            ],
            [*REPORT_TEMPLATES, PACKAGE / "sources/datasets.yaml"],
            changed=changed_parameters(),
        ),
        metrics=rules.aggregate_metrics.output.metrics,
        intervals=rules.aggregate_metrics.output.intervals,
        comparisons=rules.aggregate_metrics.output.comparisons,
        rank_threshold=rules.aggregate_metrics.output.rank_threshold,
        breakdown=rules.aggregate_metrics.output.breakdown,
        calibration=rules.aggregate_metrics.output.calibration,
        transfer=rules.aggregate_metrics.output.transfer,
        findings=rules.aggregate_metrics.output.findings,
        events=rules.aggregate_metrics.output.events,
        event_curves=rules.aggregate_metrics.output.event_curves,
        leaderboard=rules.aggregate_metrics.output.leaderboard,
        attrition=finished(ATTRITION),
        descriptions=finished(DESCRIPTIONS),
        reading=source.reading if source.cohorts else [],
        windows=finished(rules.data.input.windows),
        selection=finished(
            expand(rules.make_windows.output.attrition, cohort=study.cohorts, vital=study.vitals)
        ),
    output:
        report=f"{RESULTS}/report.html",
        # Names are <cohort>_<vital>_<figure>, and no part of a name holds an underscore.
        figures=report(
            directory(f"{RESULTS}/figures"),
            patterns=["{part}_{sign}_{figure}.svg"],
            caption="../workflow_scripts/reporting/captions/figures.rst",
            category=captions.category,
            subcategory=captions.subcategory,
            labels=captions.labels,
        ),
    log:
        f"{LOGS}/make_report.log",
    benchmark:
        f"{LOGS}/make_report.benchmark.tsv"
    conda:
        ENVIRONMENT
    params:
        summary=subpath(input.metrics, parent=True),
        runs=f"{RESULTS}/runs",
        windows=windows_folder,
        cohorts=cohorts_folder_option,
        reading=reading_file_option,
    message:
        "Write the report"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.make_report --settings {input.settings} --summary {params.summary}'
        " {params.cohorts} {params.reading} --runs {params.runs} --windows {params.windows}"
        " --output {output.report} --figures {output.figures} &> {log}"


# One process writes to MLflow, where Snakemake itself runs: a SQLite file is no database for a cluster's nodes.
localrules:
    sync_tracking,


# MLflow mirrors the records; Snakefile does the same after a failure.
rule sync_tracking:
    input:
        settings=TRACKING_SETTINGS,
        records=finished(run_records()),
        windows=finished(rules.data.input.windows),
    output:
        tracking=f"{RESULTS}/summary/tracking.json",
    log:
        f"{LOGS}/sync_tracking.log",
    benchmark:
        f"{LOGS}/sync_tracking.benchmark.tsv"
    conda:
        ENVIRONMENT
    message:
        "Bring MLflow up to date"
    shell:
        f"{SYNC_TRACKING} --output {{output.tracking}} &> {{log}}"


rule choose_adapter:
    input:
        settings=step_settings(f"{RESULTS}/best", "choose_adapter"),
        records=runs_to_compare,
    output:
        choice=f"{RESULTS}/best/{{cohort}}/{{vital}}/{{model}}/choice.json",
    log:
        f"{LOGS}/choose_adapter/{{cohort}}-{{vital}}-{{model}}.log",
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.choice, parent=True),
    message:
        "Choose the adapter of {wildcards.model} for {wildcards.vital} of {wildcards.cohort}"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.choose_adapter {input.records} --output {params.folder} &> {log}'


# Train every rank, and give me the best: chosen on validation, with the reason in choice.json.
rule best_adapter:
    input:
        choices=[
            f"{RESULTS}/best/{cohort}/{vital}/{model}/choice.json"
            for cohort in study.cohorts
            for vital in study.vitals
            for model in study.models
        ],


rule check_privacy:
    log:
        "logs/check_privacy.txt",
    conda:
        ENVIRONMENT
    message:
        "Look for rows of patients outside the data folders; {log} keeps the report"
    shell:
        '"$PYTHON" -m workflow_scripts.steps.check_privacy 2>&1 | tee {log}'
