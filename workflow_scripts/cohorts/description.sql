-- What Table 1 says of each ICU stay beside the cohort table.
--
-- Needs: sofa_first_day
-- Result: icustay_id, sofa (0 to 24, null for a stay without hours), one row for each ICU stay.
SELECT
    icustays.icustay_id,
    sofa_first_day.sofa
FROM icustays
LEFT JOIN sofa_first_day ON icustays.icustay_id = sofa_first_day.icustay_id
