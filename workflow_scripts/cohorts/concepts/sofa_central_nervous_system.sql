-- SOFA, central nervous system, of each hour with a Glasgow coma scale: the lowest sum.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3.
-- Needs: glasgow_coma_scale
-- Result: icustay_id, hour, score (0 to 4).
SELECT
    icustay_id,
    hour,
    CAST(CASE
        WHEN min(gcs) < 6 THEN 4
        WHEN min(gcs) < 10 THEN 3
        WHEN min(gcs) < 13 THEN 2
        WHEN min(gcs) < 15 THEN 1
        ELSE 0
    END AS TINYINT) AS score
FROM glasgow_coma_scale
GROUP BY icustay_id, hour
