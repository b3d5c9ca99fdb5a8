-- SOFA, cardiovascular, of each hour with a mean arterial pressure or a vasopressor: the rates that run at the hour's
-- end, in mcg/kg/min, else the lowest pressure, in mmHg.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3.
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql.
-- Needs: stay_clock, vasopressor_hours
-- Result: icustay_id, hour, repeat, score (0 to 4).
WITH pressures AS (
    SELECT
        icustay_id,
        stay_hour(charttime, origin) AS hour,
        min(valuenum) AS pressure
    FROM clinical_chart
    JOIN stay_clock USING (icustay_id)
    WHERE
        itemid IN (52, 443, 456, 6702, 220052, 220181, 225312) -- mean arterial pressure
        AND valuenum > 0
        AND valuenum < 300
        AND error IS DISTINCT FROM 1
        AND stay_hour(charttime, origin) BETWEEN -24 AND last_hour
    GROUP BY icustay_id, stay_hour(charttime, origin)
),

scored AS (
    SELECT
        icustay_id,
        hour,
        coalesce(repeat, 0) AS repeat,
        CASE
            WHEN dopamine > 15 OR epinephrine > 0.1 OR norepinephrine > 0.1 THEN 4
            WHEN dopamine > 5 OR epinephrine <= 0.1 OR norepinephrine <= 0.1 THEN 3
            WHEN dopamine > 0 OR dobutamine > 0 THEN 2
            WHEN pressure < 70 THEN 1
            WHEN coalesce(pressure, dopamine, dobutamine) IS NOT NULL THEN 0
        END AS score
    FROM pressures
    FULL JOIN vasopressor_hours USING (icustay_id, hour)
)

SELECT
    icustay_id,
    hour,
    CAST(repeat AS SMALLINT) AS repeat,
    CAST(score AS TINYINT) AS score
FROM scored
WHERE score IS NOT NULL
