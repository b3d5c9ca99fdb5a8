-- Rates of the drugs that SOFA counts, at the end of each hour of an ICU stay in which one runs. By the choice
-- `repeated_hours` an hour has one row with the highest rate of each drug, or, as in mimic-code, one row for each
-- combination of running rates and each blood gas of the hour: its joins repeat such an hour, and a window of 24 rows
-- then reaches back fewer hours and adds the hour's urine up twice.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql; one row as in mimic-iv/concepts/score/sofa.sql.
--   The order of the repeated rows is undefined in mimic-code; here it is that of the rates.
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

rates AS (
    SELECT
        icustay_id,
        hour,
        list(rate ORDER BY rate) FILTER (drug = 'dobutamine') AS dobutamine,
        list(rate ORDER BY rate) FILTER (drug = 'dopamine') AS dopamine,
        list(rate ORDER BY rate) FILTER (drug = 'epinephrine') AS epinephrine,
        list(rate ORDER BY rate) FILTER (drug = 'norepinephrine') AS norepinephrine
    FROM running
    GROUP BY icustay_id, hour
),

gases AS (
    SELECT icustay_id, hour, count(*) AS gases
    FROM blood_gases
    WHERE getvariable('repeated_hours') = 'as_mimic_code'
    GROUP BY icustay_id, hour
),

merged AS (
    SELECT
        icustay_id,
        hour,
        0 AS repeat,
        list_max(dobutamine) AS dobutamine,
        list_max(dopamine) AS dopamine,
        list_max(epinephrine) AS epinephrine,
        list_max(norepinephrine) AS norepinephrine
    FROM rates
    WHERE getvariable('repeated_hours') = 'merged'
),

repeated AS (
    SELECT
        icustay_id,
        hour,
        row_number() OVER (
            PARTITION BY icustay_id, hour ORDER BY d.rate, a.rate, e.rate, n.rate
        ) - 1 AS repeat,
        d.rate AS dobutamine,
        a.rate AS dopamine,
        e.rate AS epinephrine,
        n.rate AS norepinephrine
    FROM rates
    FULL JOIN gases USING (icustay_id, hour)
    CROSS JOIN unnest(coalesce(dobutamine, [NULL])) AS d (rate)
    CROSS JOIN unnest(coalesce(dopamine, [NULL])) AS a (rate)
    CROSS JOIN unnest(coalesce(epinephrine, [NULL])) AS e (rate)
    CROSS JOIN unnest(coalesce(norepinephrine, [NULL])) AS n (rate)
    CROSS JOIN unnest(range(coalesce(gases, 1))) AS g (gas)
    WHERE getvariable('repeated_hours') = 'as_mimic_code'
)

SELECT * FROM merged
UNION ALL
SELECT * FROM repeated
