-- SOFA of a stay's first day: for each component its worst score up to hour 24, laboratory values and blood gases from
-- 6 hours before the stay on, and the urine of the whole day.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710.
-- Source: windows as in MIT-LCP/mimic-code, mimic-iii/concepts/severityscores/sofa.sql, but in the hours of the stay's
--   clock, and from the same values as the hourly score; docs/cohorts.md compares the two.
-- Needs: sofa_respiration, sofa_coagulation, sofa_liver, sofa_cardiovascular, sofa_central_nervous_system, sofa_renal
-- Needs: stay_clock
-- Result: icustay_id, respiration, coagulation, liver, cardiovascular, central_nervous_system, renal (0 to 4 or null),
--   sofa (0 to 24); one row for each stay with a clock.
WITH scores AS (
    SELECT icustay_id, 'respiration' AS component, score FROM sofa_respiration WHERE hour BETWEEN -5 AND 24
    UNION ALL
    SELECT icustay_id, 'coagulation', score FROM sofa_coagulation WHERE hour BETWEEN -5 AND 24
    UNION ALL
    SELECT icustay_id, 'liver', score FROM sofa_liver WHERE hour BETWEEN -5 AND 24
    UNION ALL
    SELECT icustay_id, 'cardiovascular', score FROM sofa_cardiovascular WHERE hour BETWEEN 0 AND 24
    UNION ALL
    SELECT icustay_id, 'central_nervous_system', score FROM sofa_central_nervous_system WHERE hour BETWEEN 0 AND 24
    UNION ALL
    SELECT icustay_id, 'renal', by_creatinine FROM sofa_renal WHERE hour BETWEEN -5 AND 24
    UNION ALL
    SELECT icustay_id, 'renal', by_urine FROM sofa_renal JOIN stay_clock USING (icustay_id)
    WHERE hour = least(24, last_hour)
),

worst AS (
    SELECT
        stay_clock.icustay_id,
        max(score) FILTER (component = 'respiration') AS respiration,
        max(score) FILTER (component = 'coagulation') AS coagulation,
        max(score) FILTER (component = 'liver') AS liver,
        max(score) FILTER (component = 'cardiovascular') AS cardiovascular,
        max(score) FILTER (component = 'central_nervous_system') AS central_nervous_system,
        max(score) FILTER (component = 'renal') AS renal
    FROM stay_clock
    LEFT JOIN scores ON stay_clock.icustay_id = scores.icustay_id
    GROUP BY stay_clock.icustay_id
)

SELECT
    *,
    CAST(
        coalesce(respiration, 0) + coalesce(coagulation, 0) + coalesce(liver, 0) + coalesce(cardiovascular, 0)
        + coalesce(central_nervous_system, 0) + coalesce(renal, 0) AS TINYINT
    ) AS sofa
FROM worst
