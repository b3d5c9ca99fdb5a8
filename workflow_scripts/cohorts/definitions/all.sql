-- Every ICU stay of the data set; the control without any definition.
--
-- Result: one row per ICU stay.
--   icustay_id  the stay
--   onset       always NULL: belonging to the data set has no time
SELECT
    icustay_id,
    CAST(NULL AS TIMESTAMP) AS onset
FROM icustays
