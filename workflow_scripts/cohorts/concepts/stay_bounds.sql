-- When blood gases belong to an ICU stay: from 12 hours before it to 12 hours after it, or to the middle of the gap
-- where the patient's neighbouring stay is less than 24 hours away (half of its full hours before a stay, half of its
-- full minutes after it, as in the source).
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_bg.sql (ICU stays with fuzzy bounds).
-- Result: icustay_id, subject_id, intime, data_start (inclusive), data_end (exclusive).
WITH neighbours AS (
    SELECT
        *,
        lag(outtime) OVER (PARTITION BY subject_id ORDER BY intime NULLS FIRST, icustay_id) AS earlier_end,
        lead(intime) OVER (PARTITION BY subject_id ORDER BY intime NULLS FIRST, icustay_id) AS later_start
    FROM icustays
)

SELECT
    icustay_id,
    subject_id,
    intime,
    CASE
        WHEN earlier_end > intime - INTERVAL 24 HOUR
            THEN intime - to_hours(CAST(round(date_diff('hour', earlier_end, intime) / 2) AS BIGINT))
        ELSE intime - INTERVAL 12 HOUR
    END AS data_start,
    CASE
        WHEN later_start < outtime + INTERVAL 24 HOUR
            THEN outtime + to_minutes(CAST(round(date_diff('minute', outtime, later_start) / 2) AS BIGINT))
        ELSE outtime + INTERVAL 12 HOUR
    END AS data_end
FROM neighbours
