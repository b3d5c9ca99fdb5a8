"""The fault catalogue: what is injected, when, and the tests that inject it. docs/reliability.md is made from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A kind of fault. tests: pytest node ids; each case of theirs counts as one fault unless it says otherwise.

    ends: what "survived" means for it.
    """

    phase: str
    fault: str
    ends: str
    tests: tuple[str, ...]


SAME = "the same command ends as if undisturbed"
TOLD = "one message says what to do"
FAULTS = "tests/faults"

CATALOGUE = {
    "killed jobs": Entry(
        "every rule",
        "SIGKILL, SIGTERM and SIGINT at seeded moments of every job: at an import, a change of a file, a second",
        f"{SAME}; no job begins again after it was done",
        (f"{FAULTS}/test_killed_jobs.py",),
    ),
    "killed workflow": Entry(
        "training",
        "SIGKILL, SIGTERM, Ctrl-C to Snakemake while jobs run; SIGKILL to it and all jobs",
        f"{SAME}; after SIGKILL, which leaves Snakemake's lock, once `snakemake --unlock` was run as it says",
        (f"{FAULTS}/test_killed_workflow.py::test_after_snakemake_was_ended_the_ordinary_command_goes_on",),
    ),
    "killed checkpoint": Entry(
        "training",
        "SIGKILL between and inside the writes of checkpoints",
        "the same weights, byte for byte",
        (
            f"{FAULTS}/test_training.py::"
            "test_a_run_killed_between_and_inside_checkpoint_writes_ends_with_the_same_weights",
            "tests/training/test_checkpoints.py",
        ),
    ),
    "warm servers": Entry(
        "training",
        "the server, the client or the job of a warm run killed or asked to end",
        "the job is done or ended, never both or neither",
        (
            "tests/runtime/test_warm.py::test_the_job_of_a_client_that_was_killed_ends_at_once",
            "tests/runtime/test_warm.py::test_a_job_is_asked_to_end_as_its_client_is",
            "tests/runtime/test_warm.py::test_a_job_whose_server_was_killed_is_done_nonetheless",
            "tests/runtime/test_warm.py::test_a_client_that_was_asked_to_end_before_its_job_began_runs_nothing",
        ),
    ),
    "power failure": Entry(
        "every rule",
        "each file that a rule made cut to half, and to nothing, with its time kept; also all at once; a step"
        " that reads one",
        f"found by `repair_results`, refused by the step with its name; deleted and made again, {SAME}",
        (f"{FAULTS}/test_power_loss.py",),
    ),
    "full disk": Entry(
        "each phase",
        "no space left in the folder that the phase writes; none on the disk of the whole project",
        f"{TOLD}; with space, {SAME}",
        (
            f"{FAULTS}/test_storage.py::test_a_full_disk_ends_in_one_message_and_the_phase_goes_on_afterwards",
            f"{FAULTS}/test_storage.py::test_a_report_on_a_full_disk_ends_in_one_message_and_is_written_afterwards",
            f"{FAULTS}/test_storage.py::test_a_project_on_a_full_disk_is_told_so_before_any_job",
        ),
    ),
    "read-only": Entry(
        "training",
        "a results folder that cannot be written; a lock folder that cannot",
        f"{TOLD}; afterwards {SAME}",
        (
            f"{FAULTS}/test_storage.py::test_results_that_cannot_be_written_are_named",
            "tests/runtime/test_device.py::test_a_folder_that_cannot_be_written_is_refused",
        ),
    ),
    "clock": Entry(
        "every rule",
        "a clock that went back a day after the files were made",
        "nothing repeated; a changed setting is refused until `repair_results --delete` has set the times, then it is"
        " noticed",
        (f"{FAULTS}/test_storage.py::test_a_changed_setting_is_noticed_although_the_clock_went_back",),
    ),
    "tracking store": Entry(
        "tracking",
        "SQLite locked or on a full disk, a store that is absent or breaks, an MLflow server that is away at the start,"
        " in the middle and at the end; jobs killed while open",
        "training finishes; sync_tracking brings MLflow up to date once",
        (
            f"{FAULTS}/test_storage.py::test_a_full_disk_below_mlflow_costs_no_run_and_is_made_good_afterwards",
            "tests/tracking/test_sync_tracking.py",
            "tests/tracking/test_tracking_server.py",
        ),
    ),
    "memory": Entry(
        "training and forecast",
        "no memory on the device (simulated), none on the host (torch's own refusal)",
        "one message with the memory asked for, and the setting that needs less",
        (
            f"{FAULTS}/test_training.py::test_training_without_device_memory_says_how_much_and_what_to_do",
            f"{FAULTS}/test_training.py::test_forecasting_without_device_memory_says_how_much_and_what_to_do",
            f"{FAULTS}/test_training.py::test_a_host_without_memory_says_so",
        ),
    ),
    "divergence": Entry(
        "training",
        "a loss that explodes until it is not finite",
        "a failed run with the step, and the last good weights",
        (
            "tests/training/test_run.py::"
            "test_a_training_that_diverges_is_a_failed_run_with_its_reason_and_the_last_good_weights",
        ),
    ),
    "two at once": Entry(
        "training",
        "a second Snakemake in the folder; settings changed while it runs",
        "the second is turned away; the change is noticed by the next command",
        (
            f"{FAULTS}/test_killed_workflow.py::"
            "test_a_second_snakemake_in_the_folder_is_turned_away_and_disturbs_nothing",
            f"{FAULTS}/test_killed_workflow.py::test_settings_changed_during_the_run_are_noticed_by_the_next",
        ),
    ),
    "device leases": Entry(
        "training",
        "two of eight jobs on two devices killed; a holder that vanishes; a device that stays taken",
        "no device held twice, none lost",
        (
            f"{FAULTS}/test_leases.py",
            "tests/runtime/test_device.py::test_a_killed_job_frees_its_device",
            "tests/runtime/test_device.py::test_a_time_limit_ends_the_wait_with_the_holders",
        ),
    ),
    "raw tables": Entry(
        "extraction",
        "a cut or flipped gzip file, text that is not UTF-8, short lines, other order of columns, rows twice, a table"
        " of MIMIC-IV or of another version; in a study: a table cut, and one swapped",
        f"the same events, or {TOLD} and none are left",
        (
            f"{FAULTS}/test_raw_tables.py",
            "tests/sources/mimic_iii/test_extraction.py::test_a_truncated_gzip_file_is_refused",
            "tests/sources/mimic_iii/test_extraction.py::test_a_flipped_bit_in_a_gzip_file_is_refused",
            "tests/sources/mimic_iii/test_extraction.py::test_a_plain_file_named_gz_is_refused",
            "tests/sources/mimic_iii/test_extraction.py::test_a_file_of_zero_bytes_is_refused",
            "tests/sources/mimic_iii/test_extraction.py::test_text_that_is_not_utf8_is_refused",
            "tests/sources/mimic_iii/test_extraction.py::test_a_line_with_a_wrong_number_of_fields_is_located",
            "tests/sources/mimic_iii/test_extraction.py::test_a_failure_keeps_the_events_of_the_last_success",
        ),
    ),
    "rows in messages": Entry(
        "extraction",
        "wrong encoding, quotes, short and long lines in rows with canaries",
        "refused, and no message holds a value of the row",
        ("tests/privacy/test_messages.py",),
    ),
    "weights": Entry(
        "weights",
        "forged headers, cut files, other sizes, families and types, values that are not finite, pickles",
        TOLD,
        ("tests/models/test_weights.py", "tests/privacy/test_hostile_weights.py"),
    ),
    "windows": Entry(
        "training",
        "windows without footer, without metadata, of other lengths, with other columns",
        TOLD,
        ("tests/windows/test_reading.py",),
    ),
    "stored results": Entry(
        "verification",
        "a metric, forecasts, adapter, windows or code changed after the run",
        "found by make verify",
        ("tests/evaluation/test_verification.py",),
    ),
    "edits": Entry(
        "every rule",
        "a module, a data file or a parameter changed, also on a clone without Snakemake's memory",
        "exactly the jobs that it concerns would run again",
        (
            "tests/workflow/test_same_answer.py::test_an_edit_runs_the_jobs_that_it_concerns_and_no_other",
            "tests/workflow/test_same_answer.py::test_a_parameter_is_noticed_and_runs_only_what_it_concerns",
        ),
    ),
    "other content": Entry(
        "every rule",
        "own tables, weights that a path names, a cohort's SQL outside the repository and a link's target replaced by"
        " other content: older, of the same size, times and ends, changed in place",
        "hashed again and run again; found by make verify before, and recorded by DVC only with the new results",
        ("tests/runtime/test_content.py", "tests/workflow/test_fresh_by_content.py"),
    ),
    "implausible data": Entry(
        "windows",
        "sentinels, other units, ends in the year 9999, onsets and values outside their stay, another spacing, no"
        " or only deaths",
        "counted and told in log, record and report; implausible values are left out",
        (
            "tests/windows/test_checks.py",
            "tests/windows/test_making.py::"
            "test_an_end_in_the_year_9999_costs_no_memory_and_gives_the_windows_of_an_end_behind_the_last_value",
            "tests/steps/test_forecast.py::test_a_series_that_is_spaced_otherwise_than_the_adapter_s_windows_is_warned_of",
        ),
    ),
    "somebody's files": Entry(
        "every command",
        "an output that is a file or a folder of somebody else, the working folder, a link, below a file, below a"
        " folder that cannot be written",
        f"{TOLD} before anything is read, and every file is as it was",
        (
            "tests/steps/test_nobody_loses_files.py::test_nothing_of_somebody_else_is_written_over",
            "tests/steps/test_nobody_loses_files.py::test_a_read_only_parent_is_named_before_anything_is_read",
            "tests/steps/test_nobody_loses_files.py::test_a_forecast_replaces_neither_its_input_nor_a_picture",
            "tests/steps/test_nobody_loses_files.py::test_the_figures_beside_a_page_of_results_are_looked_at_too",
            "tests/runtime/test_files.py",
        ),
    ),
    "adapters elsewhere": Entry(
        "forecast",
        "an adapter's folder alone, as an archive from MLflow, without its scale, on other weights of the same model,"
        " of another model",
        f"the same forecast, or {TOLD}",
        (
            "tests/steps/test_forecast.py::test_an_adapter_s_folder_alone_says_all_that_a_forecast_needs",
            "tests/steps/test_forecast.py::test_a_folder_of_a_model_from_scratch_is_all_that_a_forecast_needs",
            "tests/steps/test_forecast.py::"
            "test_an_adapter_that_does_not_say_its_scale_is_refused_until_one_is_given",
            "tests/steps/test_forecast.py::test_an_adapter_is_refused_on_other_weights_of_the_same_model",
            "tests/steps/test_forecast.py::test_an_adapter_of_another_model_is_refused",
            "tests/tracking/test_sync_tracking.py::test_an_adapter_is_one_archive_that_holds_its_whole_folder",
        ),
    ),
    "paths and clones": Entry(
        "every rule",
        "a clone with core.autocrlf below folders with spaces, an apostrophe, %20, braces, $, brackets and letters of"
        " other scripts; a home that cannot be written; a cohort's SQL elsewhere, with a byte order mark and CRLF",
        "the numbers of a study in an ordinary folder, and nothing beside the clone",
        ("tests/workflow/test_odd_paths.py",),
    ),
    "odd names and ends": Entry(
        "every command",
        "names with $, markup and letters that no font has; two files of one table; a reader that leaves; YAML with a"
        " mistake; a missing package",
        f"the name as it is, a quiet end, or {TOLD}",
        (
            "tests/reporting/test_forecast_figure.py",
            "tests/steps/test_printing.py",
            "tests/sources/mimic_iii/test_tables.py::test_two_files_of_one_table_are_refused_and_both_named",
        ),
    ),
    "generated input": Entry(
        "every reader",
        "generated settings, tables of MIMIC-III, headers and configurations of weights",
        "taken, or refused with one message",
        (f"{FAULTS}/test_fuzzing.py",),
    ),
    "tables from outside": Entry(
        "own tables and forecast",
        "bytes of text and of Parquet (with checksums) overwritten, cut out, doubled; integers, decimals, times and"
        " numbers of the whole range; columns repeated, missing, of another type; encodings, line ends, separators,"
        " offsets, a change to summer time; identifiers and values that are canaries",
        "read as Python and pandas read it, or refused with one message without a canary",
        (
            f"{FAULTS}/test_fuzzing_tables.py",
            "tests/runtime/test_tables.py",
            "tests/runtime/test_identifiers.py",
            "tests/steps/test_forecast.py::test_every_name_comes_back_from_the_table_and_none_breaks_the_figure",
        ),
    ),
}
