-- SOFA of every hour of an ICU stay: for each component its worst score of the last 24 hours, null where nothing was
-- measured, and their sum, in which what is missing counts as 0. By the choice `window_hours` the window has 24 rows,
-- or 25 as in mimic-code ("24 PRECEDING" and the current one).
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710.
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql.
-- Needs: score_rows, sofa_respiration, sofa_coagulation, sofa_liver, sofa_cardiovascular
-- Needs: sofa_central_nervous_system, sofa_renal, stay_clock
-- Result: icustay_id, hour (0 to last_hour), repeat, endtime (end of the hour), respiration, coagulation, liver,
--   cardiovascular, central_nervous_system, renal (0 to 4 or null), sofa (0 to 24).
WITH hourly AS (
    SELECT
        icustay_id,
        hour,
        repeat,
        sofa_respiration.score AS respiration,
        sofa_coagulation.score AS coagulation,
        sofa_liver.score AS liver,
        sofa_cardiovascular.score AS cardiovascular,
        sofa_central_nervous_system.score AS central_nervous_system,
        sofa_renal.score AS renal
    FROM score_rows
    LEFT JOIN sofa_respiration USING (icustay_id, hour)
    LEFT JOIN sofa_coagulation USING (icustay_id, hour)
    LEFT JOIN sofa_liver USING (icustay_id, hour)
    LEFT JOIN sofa_cardiovascular USING (icustay_id, hour, repeat)
    LEFT JOIN sofa_central_nervous_system USING (icustay_id, hour)
    LEFT JOIN sofa_renal USING (icustay_id, hour, repeat)
),

worst AS (
    SELECT
        icustay_id,
        hour,
        repeat,
        max(respiration) OVER last_day AS respiration,
        max(coagulation) OVER last_day AS coagulation,
        max(liver) OVER last_day AS liver,
        max(cardiovascular) OVER last_day AS cardiovascular,
        max(central_nervous_system) OVER last_day AS central_nervous_system,
        max(renal) OVER last_day AS renal
    FROM hourly
    WINDOW last_day AS (
        PARTITION BY icustay_id ORDER BY hour, repeat
        ROWS BETWEEN (getvariable('window_hours') - 1) PRECEDING AND CURRENT ROW
    )
)

SELECT
    worst.*,
    origin + to_hours(hour) AS endtime,
    CAST(
        coalesce(respiration, 0) + coalesce(coagulation, 0) + coalesce(liver, 0) + coalesce(cardiovascular, 0)
        + coalesce(central_nervous_system, 0) + coalesce(renal, 0) AS TINYINT
    ) AS sofa
FROM worst
JOIN stay_clock USING (icustay_id)
WHERE hour >= 0
