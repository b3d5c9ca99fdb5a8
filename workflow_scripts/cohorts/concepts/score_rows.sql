-- The rows over which SOFA's 24-hour windows run: every hour of an ICU stay, beginning 24 hours before it (laboratory
-- values from before the stay count), once or as often as `vasopressor_hours` has it.
--
-- Source: MIT-LCP/mimic-code, mimic-iii/concepts/demographics/icustay_hours.sql and pivot/pivoted_sofa.sql.
-- Needs: stay_clock, vasopressor_hours
-- Result: icustay_id, hour (-24 to last_hour), repeat.
WITH hours AS (
    SELECT
        icustay_id,
        CAST(unnest(range(-24, last_hour + 1)) AS INTEGER) AS hour
    FROM stay_clock
)

SELECT
    icustay_id,
    hour,
    CAST(coalesce(repeat, 0) AS SMALLINT) AS repeat
FROM hours
LEFT JOIN vasopressor_hours USING (icustay_id, hour)
