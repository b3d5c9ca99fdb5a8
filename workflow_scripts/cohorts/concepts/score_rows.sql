-- The rows over which SOFA's 24-hour windows run: every hour once, or as often as `vasopressor_hours` has it.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/pivot/pivoted_sofa.sql.
-- Needs: stay_hours, vasopressor_hours
-- Result: icustay_id, hour, repeat.
SELECT
    icustay_id,
    hour,
    CAST(coalesce(repeat, 0) AS SMALLINT) AS repeat
FROM stay_hours
LEFT JOIN vasopressor_hours USING (icustay_id, hour)
