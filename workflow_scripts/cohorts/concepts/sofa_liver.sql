-- SOFA, liver, of each hour with a bilirubin: the highest value, in mg/dL.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3 (2.0-5.9 mg/dL: 2 points, and so on).
-- Needs: laboratory
-- Result: icustay_id, hour, score (0 to 4).
SELECT
    icustay_id,
    hour,
    CAST(CASE
        WHEN max(bilirubin) >= 12 THEN 4
        WHEN max(bilirubin) >= 6 THEN 3
        WHEN max(bilirubin) >= 2 THEN 2
        WHEN max(bilirubin) >= 1.2 THEN 1
        ELSE 0
    END AS TINYINT) AS score
FROM laboratory
WHERE bilirubin IS NOT NULL
GROUP BY icustay_id, hour
