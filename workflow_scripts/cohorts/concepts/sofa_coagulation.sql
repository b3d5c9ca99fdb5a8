-- SOFA, coagulation, of each hour with a platelet count: the lowest count, in 10^9/L.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3.
-- Needs: laboratory
-- Result: icustay_id, hour, score (0 to 4).
SELECT
    icustay_id,
    hour,
    CAST(CASE
        WHEN min(platelets) < 20 THEN 4
        WHEN min(platelets) < 50 THEN 3
        WHEN min(platelets) < 100 THEN 2
        WHEN min(platelets) < 150 THEN 1
        ELSE 0
    END AS TINYINT) AS score
FROM laboratory
WHERE platelets IS NOT NULL
GROUP BY icustay_id, hour
