-- SOFA, respiration, of each hour with an arterial blood gas: the lowest PaO2/FiO2 below 100 (4 points) or 200 (3) with
-- invasive ventilation, below 300 (2) or 400 (1) without. By the choice `ventilated_ratio_200_to_399` a ventilated
-- patient gets 2 or 1 points there as well, as mimic-code scores MIMIC-IV, or none, as it scores MIMIC-III.
--
-- Citation: Vincent JL, Moreno R, Takala J, et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe
--   organ dysfunction/failure. Intensive Care Med 1996;22(7):707-710, table 3: 4 and 3 points are given only with
--   respiratory support, 2 and 1 with or without.
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql, mimic-iv/concepts/score/sofa.sql.
-- Needs: blood_gases
-- Result: icustay_id, hour, score (0 to 4, null where no gas has an FiO2).
WITH lowest AS (
    SELECT
        icustay_id,
        hour,
        min(ratio) FILTER (ventilated) AS with_ventilation,
        min(ratio) FILTER (NOT ventilated) AS without_ventilation
    FROM blood_gases
    GROUP BY icustay_id, hour
)

SELECT
    icustay_id,
    hour,
    CAST(CASE
        WHEN with_ventilation < 100 THEN 4
        WHEN with_ventilation < 200 THEN 3
        WHEN without_ventilation < 300 THEN 2
        WHEN with_ventilation < 300 AND getvariable('ventilated_ratio_200_to_399') = 'scored' THEN 2
        WHEN without_ventilation < 400 THEN 1
        WHEN with_ventilation < 400 AND getvariable('ventilated_ratio_200_to_399') = 'scored' THEN 1
        WHEN coalesce(with_ventilation, without_ventilation) IS NOT NULL THEN 0
    END AS TINYINT) AS score
FROM lowest
