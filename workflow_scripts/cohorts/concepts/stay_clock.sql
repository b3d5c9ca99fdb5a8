-- The hours of an ICU stay as a clock: hour 0 ends at `origin`, hour h ends h hours later, and the last is `last_hour`.
-- By the choice `hour_grid` the clock starts with the ICU admission and ends with the stay, or runs from the first to
-- the last charted heart rate, as mimic-code does. A stay without these times has no clock.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/demographics/icustay_times.sql and icustay_hours.sql.
-- Needs: admission_bounds
-- Result: icustay_id, subject_id, hadm_id, origin, last_hour.
WITH charted AS (
    SELECT
        icustay_id,
        min(charttime) AS first_time,
        max(charttime) AS last_time
    FROM clinical_chart
    JOIN admission_bounds USING (hadm_id)
    WHERE
        itemid IN (211, 220045) -- heart rate
        AND charttime >= data_start
        AND charttime < data_end
    GROUP BY icustay_id
),

span AS (
    SELECT
        icustays.icustay_id,
        icustays.subject_id,
        icustays.hadm_id,
        CASE getvariable('hour_grid') WHEN 'icu_admission' THEN intime ELSE first_time END AS starts,
        CASE getvariable('hour_grid') WHEN 'icu_admission' THEN outtime ELSE last_time END AS ends
    FROM icustays
    LEFT JOIN charted USING (icustay_id)
)

SELECT
    icustay_id,
    subject_id,
    hadm_id,
    -- A time within an hour belongs to the hour that ends next.
    date_trunc('hour', starts + INTERVAL 59 MINUTE) AS origin,
    CAST(date_diff('hour', starts, ends) AS INTEGER) AS last_hour
FROM span
WHERE starts IS NOT NULL AND ends IS NOT NULL
