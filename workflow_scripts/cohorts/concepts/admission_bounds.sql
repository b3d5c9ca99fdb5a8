-- When data belong to a hospital admission: from 12 hours before it to 12 hours after it, or to the middle of the
-- gap where the patient's neighbouring admission is less than 24 hours away.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/demographics/icustay_times.sql (admissions with fuzzy bounds).
-- Result: hadm_id, subject_id, data_start (inclusive), data_end (exclusive).
WITH neighbours AS (
    SELECT
        *,
        lag(dischtime) OVER (PARTITION BY subject_id ORDER BY admittime NULLS FIRST, hadm_id) AS earlier_end,
        lead(admittime) OVER (PARTITION BY subject_id ORDER BY admittime NULLS FIRST, hadm_id) AS later_start
    FROM admissions
)

SELECT
    hadm_id,
    subject_id,
    CASE
        WHEN earlier_end > admittime - INTERVAL 24 HOUR
            THEN admittime - to_seconds(round(date_diff('second', earlier_end, admittime) / 2))
        ELSE admittime - INTERVAL 12 HOUR
    END AS data_start,
    CASE
        WHEN later_start < dischtime + INTERVAL 24 HOUR
            THEN dischtime + to_seconds(round(date_diff('second', dischtime, later_start) / 2))
        ELSE dischtime + INTERVAL 12 HOUR
    END AS data_end
FROM neighbours
