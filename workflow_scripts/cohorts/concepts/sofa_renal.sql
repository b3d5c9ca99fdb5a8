-- SOFA, renal, of each hour with a creatinine, in mg/dL, or with urine charted in the last 24 hours, in ml. By the
-- choice `urine_on_partial_days` urine counts once 24 hours of the stay are over, or from its first charting on, as in
-- mimic-code, where the first 200 ml of nearly every stay mean renal failure.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3 (urine output per day).
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_uo.sql and pivoted_sofa.sql; irrigation that went in is
--   taken off.
-- Needs: laboratory, score_rows, stay_clock
-- Result: icustay_id, hour, repeat, by_creatinine and by_urine (0 to 4, null where not scored), score (the higher one).
WITH urine AS (
    SELECT
        icustay_id,
        stay_hour(charttime, origin) AS hour,
        sum(CASE WHEN itemid = 227488 THEN -abs(value) ELSE value END) AS millilitres
    FROM outputevents
    JOIN stay_clock USING (icustay_id)
    WHERE
        itemid IN (
            40055, 43175, 40069, 40094, 40715, 40473, 40085, 40057, 40056, 40405, 40428, 40086, 40096, 40651,
            226559, 226560, 226561, 226584, 226563, 226564, 226565, 226567, 226557, 226558, 227488, 227489
        )
        AND iserror IS DISTINCT FROM 1
        AND stay_hour(charttime, origin) BETWEEN -24 AND last_hour
    GROUP BY icustay_id, stay_hour(charttime, origin)
),

daily AS (
    SELECT
        icustay_id,
        hour,
        repeat,
        sum(millilitres) OVER (
            PARTITION BY icustay_id ORDER BY hour, repeat ROWS BETWEEN 23 PRECEDING AND CURRENT ROW
        ) AS millilitres
    FROM score_rows
    LEFT JOIN urine USING (icustay_id, hour)
),

highest AS (
    SELECT icustay_id, hour, max(creatinine) AS creatinine
    FROM laboratory
    WHERE creatinine IS NOT NULL
    GROUP BY icustay_id, hour
),

counted AS (
    SELECT
        icustay_id,
        hour,
        repeat,
        creatinine,
        CASE
            WHEN hour >= 24 OR getvariable('urine_on_partial_days') = 'as_mimic_code' THEN millilitres
        END AS millilitres
    FROM daily
    LEFT JOIN highest USING (icustay_id, hour)
)

SELECT
    icustay_id,
    hour,
    repeat,
    CAST(CASE
        WHEN creatinine >= 5 THEN 4
        WHEN creatinine >= 3.5 THEN 3
        WHEN creatinine >= 2 THEN 2
        WHEN creatinine >= 1.2 THEN 1
        WHEN creatinine IS NOT NULL THEN 0
    END AS TINYINT) AS by_creatinine,
    CAST(CASE
        WHEN millilitres < 200 THEN 4
        WHEN millilitres < 500 THEN 3
        WHEN millilitres IS NOT NULL THEN 0
    END AS TINYINT) AS by_urine,
    greatest(by_creatinine, by_urine) AS score
FROM counted
WHERE creatinine IS NOT NULL OR millilitres IS NOT NULL
