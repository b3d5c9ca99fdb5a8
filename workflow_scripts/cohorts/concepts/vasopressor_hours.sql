-- Rates of the drugs that SOFA counts, at the end of each hour of an ICU stay in which one runs. By the choice
-- `repeated_hours` an hour has one row with the highest rate of each drug, or, as in mimic-code, one row for each
-- combination of running rates and each blood gas of the hour: its joins repeat such an hour, and a window of 24 rows
-- then reaches back fewer hours and adds the hour's urine up twice.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql; one row as in
--   mimic-iv/concepts/score/sofa.sql. The order of the repeated rows is undefined in mimic-code; here it is
--   that of the rates.
-- Needs: blood_gases, stay_clock, vasopressors
-- Result: icustay_id, hour, repeat (0 for the first row of an hour), dobutamine, dopamine, epinephrine, norepinephrine
--   (mcg/kg/min, null where it does not run).
WITH running AS (
    SELECT
        icustay_id,
        drug,
        rate,
        unnest(range(
            greatest(CAST(floor((epoch_us(starttime) - epoch_us(origin)) / 3600e6) AS INTEGER) + 1, -24),
            least(CAST(floor((epoch_us(endtime) - epoch_us(origin)) / 3600e6) AS INTEGER), last_hour) + 1
        )) AS hour
    FROM vasopressors
    JOIN stay_clock USING (icustay_id)
    WHERE drug IN ('dobutamine', 'dopamine', 'epinephrine', 'norepinephrine')
),

merged AS (
    SELECT
        icustay_id,
        hour,
        0 AS repeat,
        max(rate) FILTER (drug = 'dobutamine') AS dobutamine,
        max(rate) FILTER (drug = 'dopamine') AS dopamine,
        max(rate) FILTER (drug = 'epinephrine') AS epinephrine,
        max(rate) FILTER (drug = 'norepinephrine') AS norepinephrine
    FROM running
    WHERE getvariable('repeated_hours') = 'merged'
    GROUP BY icustay_id, hour
),

hours AS (
    SELECT icustay_id, hour FROM running WHERE getvariable('repeated_hours') = 'as_mimic_code'
    UNION
    SELECT icustay_id, hour FROM blood_gases WHERE getvariable('repeated_hours') = 'as_mimic_code'
),

repeated AS (
    SELECT
        icustay_id,
        hour,
        row_number() OVER (
            PARTITION BY icustay_id, hour
            ORDER BY dobutamine.rate, dopamine.rate, epinephrine.rate, norepinephrine.rate
        ) - 1 AS repeat,
        dobutamine.rate AS dobutamine,
        dopamine.rate AS dopamine,
        epinephrine.rate AS epinephrine,
        norepinephrine.rate AS norepinephrine
    FROM hours
    LEFT JOIN (FROM running WHERE drug = 'dobutamine') AS dobutamine USING (icustay_id, hour)
    LEFT JOIN (FROM running WHERE drug = 'dopamine') AS dopamine USING (icustay_id, hour)
    LEFT JOIN (FROM running WHERE drug = 'epinephrine') AS epinephrine USING (icustay_id, hour)
    LEFT JOIN (FROM running WHERE drug = 'norepinephrine') AS norepinephrine USING (icustay_id, hour)
    LEFT JOIN blood_gases USING (icustay_id, hour)
)

SELECT * FROM merged
UNION ALL
SELECT * FROM repeated
